"""What places have in common where files and objects are kept: folders on disk, servers that speak S3."""
