/* Reading the files of a data set, without the interpreter. */
#ifndef FFPREP_FILES_H
#define FFPREP_FILES_H

#include "jpeg.h"

/* A row of the array that ffp_read_many is given, for each file (ffprep/jpeg/reading.py has the same numbers): the address
 * of its name, which ends in a zero byte, or 0; without a name, the descriptor of an open file and the offset of its bytes
 * there; how many bytes they are, and the nanoseconds of the last change, both of which are found out where there is a
 * name; what became of it; and where the bytes are in the output. */
enum { FFP_PATH, FFP_FD, FFP_OFFSET, FFP_SIZE, FFP_TIME, FFP_OUTCOME, FFP_BEGIN, FFP_READ_ROW };

/* What became of a file. FFP_LEFT: it could not be read, or changed meanwhile; whoever reads it by itself learns why. */
enum { FFP_READ = 0, FFP_NO_ROOM = 1, FFP_LEFT = 2 };

/* Reads whole files, or parts of open ones, one after the other into `out`. */
FFP_API void ffp_read_many(int64_t (*rows)[FFP_READ_ROW], int64_t count, uint8_t *out, int64_t capacity);

#endif
