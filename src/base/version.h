/* version.h - which Fledge this is. CMakeLists.txt reads it from here. */
#ifndef FL_BASE_VERSION_H
#define FL_BASE_VERSION_H

#define FL_VERSION "0.1.0"

#endif
