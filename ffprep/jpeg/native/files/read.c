/* Reading several files in one call: what a conversion does with the images of a folder or an archive. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/files.h"

#ifdef __APPLE__
#define MODIFIED st_mtimespec
#else
#define MODIFIED st_mtim
#endif

/* Reads until `size` bytes are there or the file ends; returns how many there are, or -1. */
static int64_t read_up_to(int fd, uint8_t *out, int64_t size, int64_t offset) {
    int64_t done = 0;
    while (done < size) {
        const ssize_t more = pread(fd, out + done, (size_t)(size - done), (off_t)(offset + done));
        if (more < 0) {
            return -1;
        }
        if (more == 0) {
            break;
        }
        done += more;
    }
    return done;
}

/* Reads a file from its first byte to its last. What is no regular file is not opened, since a pipe would be waited for
 * and a device may act on it; it may also have been replaced since it was looked at. */
static int64_t read_whole(int64_t *row, uint8_t *out, int64_t room) {
    const char *path = (const char *)(uintptr_t)row[FFP_PATH];
    struct stat found;
    if (stat(path, &found) != 0 || !S_ISREG(found.st_mode)) {
        return FFP_LEFT;
    }
    row[FFP_SIZE] = (int64_t)found.st_size;
    row[FFP_TIME] = (int64_t)found.MODIFIED.tv_sec * 1000000000 + found.MODIFIED.tv_nsec;
    if (row[FFP_SIZE] >= room) {
        return FFP_NO_ROOM;
    }
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return FFP_LEFT;
    }
    int64_t status = FFP_LEFT;
    if (fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_size == row[FFP_SIZE] &&
        read_up_to(fd, out, row[FFP_SIZE] + 1, 0) ==
            row[FFP_SIZE]) { /* the additional byte shows whether the file has ended */
        status = FFP_READ;
    }
    close(fd);
    return status;
}

void ffp_read_many(int64_t (*rows)[FFP_READ_ROW], int64_t count, uint8_t *out, int64_t capacity) {
    int64_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t *row = rows[i];
        if (row[FFP_PATH]) {
            row[FFP_OUTCOME] = read_whole(row, out + at, capacity - at);
        } else if (row[FFP_SIZE] < 0 || row[FFP_SIZE] > capacity - at) {
            row[FFP_OUTCOME] = FFP_NO_ROOM;
        } else {
            const int64_t done = read_up_to((int)row[FFP_FD], out + at, row[FFP_SIZE], row[FFP_OFFSET]);
            row[FFP_OUTCOME] = done == row[FFP_SIZE] ? FFP_READ : FFP_LEFT;
        }
        if (row[FFP_OUTCOME] == FFP_READ) {
            row[FFP_BEGIN] = at;
            at += row[FFP_SIZE];
        }
    }
}
