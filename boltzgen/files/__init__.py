"""Files: those that a person gives, and our own, which appear whole or not at all and tell when damaged.

given
    Text files that a person gives, within a limit on their size.
whole
    Writing through a temporary file; JSON text; what a full disk means.
tensors
    Nested states of tensors and numbers in one safetensors file, with a checksum and without pickle.
checksums
    ``SHA256SUMS`` of a folder, as ``sha256sum`` writes and checks it.
names
    The names of the files in the folder of a run.
lock
    One writer at a time in a folder, on shared file systems too.
"""
