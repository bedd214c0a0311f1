/* shared.c - the shared library is the static one whole; CMake wants a file of its own. */
extern int fl_shared_library;
int fl_shared_library = 1;
