/* unroll.h - UNROLL before a loop whose length is known where it is expanded. */
#ifndef FL_BACKEND_CPU_ISA_UNROLL_H
#define FL_BACKEND_CPU_ISA_UNROLL_H

#include "base/simd.h"

#ifdef FL_SANITIZED  // its checks, written out for every format and row, take minutes to compile
#define UNROLL
#undef FL_INLINE
#define FL_INLINE static
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#endif
