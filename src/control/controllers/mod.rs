//! Controllers: wanted -> made, through the client only. One file each, one line each in `CONTROLLERS`.
