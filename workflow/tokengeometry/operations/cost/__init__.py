"""What each rule's job costs before it runs: bytes of memory, bytes of its stores, floating-point operations.

One function a rule takes the sizes of a job; `jobs.of_job` finds them in a study. Plain arithmetic on shapes. Disk is
exact for the arrays of a store (chunks are padded to their full size), without coordinates and metadata, which are some
kilobytes. Memory is an estimate of a job's peak, fitted to what jobs of several sizes have used. A multiplication and
an addition are two operations.
"""
