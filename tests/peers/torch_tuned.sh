#!/bin/sh
# Run a command with torch's allocator tuned as well as we know how: keep freed memory, ask for huge pages.
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
exec "$@"
