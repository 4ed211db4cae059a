"""Settings of the command line (`--config KEY=VALUE`), as a configuration file has them."""

import yaml

from tokengeometry.study import schema_errors


def read_settings(arguments, config):
    """Put the settings of the command line into a configuration with the types that a file gives them.

    Snakemake takes all that stands within braces or brackets for text, numbers among them.

    Parameters
    ----------
    arguments : list of str
        Each `KEY=VALUE`, the value in YAML. What is a number in YAML stays text where the schema wants text.
    config : dict
        Changed in place; the settings are in it already, as Snakemake has read them.
    """
    for argument in arguments:
        key, _, text = argument.partition("=")
        text = text.strip("'\"")
        try:
            value, words = yaml.safe_load(text), yaml.load(text, Loader=yaml.BaseLoader)
        except yaml.YAMLError:
            # Text with a sign of YAML's in it, as Snakemake has taken it.
            continue
        value = _with_text_for_keys(value, words)
        _put(config, key, value)
        for path in schema_errors(config):
            _keep_text_where_only_that_fits(config, path, {key: words})


def _with_text_for_keys(value, words):
    if isinstance(value, dict):
        pairs = zip(value.values(), words.items(), strict=True)
        return {key: _with_text_for_keys(item, word) for item, (key, word) in pairs}
    return value


def _put(config, key, value):
    """Set a key, or of a section those of its keys that are given."""
    if isinstance(value, dict) and isinstance(config.get(key), dict):
        for inner, item in value.items():
            _put(config[key], inner, item)
    else:
        config[key] = value


def _keep_text_where_only_that_fits(config, path, words):
    inner = config
    try:
        for part in path[:-1]:
            inner, words = inner[part], words[part]
        value, word = inner[path[-1]], words[path[-1]]
    except (KeyError, IndexError, TypeError):
        return  # What is wrong is not in this setting.
    if isinstance(word, str):
        inner[path[-1]] = word
        if path in schema_errors(config):
            inner[path[-1]] = value
