"""The commands of ``python -m minideconv.course``, a file each."""
