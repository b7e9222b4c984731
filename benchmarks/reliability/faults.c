/* Makes one of the system calls that change files fail, or kills the process there. Loaded with LD_PRELOAD.

   Calls are counted that concern files below a folder, in this process and all that it starts; what they share is in
   the file that FFPREP_FAULTS_STATE names. `fault_arm` says below which folder, at which call something happens (0:
   never), and what: an errno to return, or -1 for SIGKILL, before which a write has done half of its work. With errors,
   only writing, forcing to the disk, truncating, renaming and creating count; with kills, removing as well. `reading`
   says that calls that read count instead. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct {
    long count, at, action;
    int reading;
    char root[PATH_MAX];
} state_t;

static state_t *state;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FFPREP_FAULTS_STATE");
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    int flags = file < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, flags, file, 0);
    if (file >= 0)
        close(file);
}

void fault_arm(const char *root, long at, long action, int reading) {
    state->count = 0;
    state->reading = reading;
    state->at = at;
    state->action = action;
    snprintf(state->root, sizeof state->root, "%s", root);
}

long fault_count(void) { return state->count; }

static int concerns(const char *path) {
    if (!state)
        return 0;
    size_t length = strlen(state->root);
    return length && strncmp(path, state->root, length) == 0;
}

static int concerns_file(int file) {
    char link[64], path[PATH_MAX];
    if (!state || !state->root[0])
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return concerns(path);
}

/* Whether this is the call at which something happens. */
static int due(int concerned, int reading) {
    if (!concerned || reading != state->reading)
        return 0;
    return __atomic_add_fetch(&state->count, 1, __ATOMIC_SEQ_CST) == state->at;
}

static int happen(void) {
    if (state->action < 0)
        kill(getpid(), SIGKILL);
    errno = (int)state->action;
    return -1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int file, const void *data, size_t size) {
    REAL(write);
    if (due(concerns_file(file), 0)) {
        if (state->action < 0 && size > 1)
            real(file, data, size / 2);
        return happen();
    }
    return real(file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset) {
    REAL(pwrite);
    if (due(concerns_file(file), 0)) {
        if (state->action < 0 && size > 1)
            real(file, data, size / 2, offset);
        return happen();
    }
    return real(file, data, size, offset);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) { return pwrite(file, data, size, offset); }

ssize_t read(int file, void *data, size_t size) {
    REAL(read);
    return due(concerns_file(file), 1) ? happen() : real(file, data, size);
}

ssize_t pread(int file, void *data, size_t size, off_t offset) {
    REAL(pread);
    return due(concerns_file(file), 1) ? happen() : real(file, data, size, offset);
}

ssize_t pread64(int file, void *data, size_t size, off64_t offset) { return pread(file, data, size, offset); }

ssize_t readv(int file, const struct iovec *parts, int count) {
    REAL(readv);
    return due(concerns_file(file), 1) ? happen() : real(file, parts, count);
}

ssize_t preadv(int file, const struct iovec *parts, int count, off_t offset) {
    REAL(preadv);
    return due(concerns_file(file), 1) ? happen() : real(file, parts, count, offset);
}

#define ON_FILE(name, parameters, arguments)                                                                           \
    int name parameters {                                                                                              \
        REAL(name);                                                                                                    \
        return due(concerns_file(file), 0) ? happen() : real arguments;                                                \
    }

ON_FILE(fsync, (int file), (file))
ON_FILE(fdatasync, (int file), (file))
ON_FILE(ftruncate, (int file, off_t size), (file, size))
ON_FILE(ftruncate64, (int file, off64_t size), (file, size))

int rename(const char *from, const char *to) {
    REAL(rename);
    return due(concerns(to), 0) ? happen() : real(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(renameat);
    return due(concerns(to), 0) ? happen() : real(from_folder, from, to_folder, to);
}

static int opened(const char *path, int flags) { return (flags & O_CREAT) && concerns(path); }

#define OPENING(name)                                                                                                  \
    int name(const char *path, int flags, ...) {                                                                       \
        REAL(name);                                                                                                    \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = va_arg(rest, mode_t);                                                                            \
        va_end(rest);                                                                                                  \
        return due(opened(path, flags), 0) ? happen() : real(path, flags, mode);                                       \
    }

OPENING(open)
OPENING(open64)

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return due(concerns(path), 0) ? happen() : real(path, mode);
}

int unlink(const char *path) {
    REAL(unlink);
    return due(state && state->action < 0 && concerns(path), 0) ? happen() : real(path);
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    int concerned = path[0] == '/' ? concerns(path) : concerns_file(folder);
    return due(state && state->action < 0 && concerned, 0) ? happen() : real(folder, path, flags);
}

int rmdir(const char *path) {
    REAL(rmdir);
    return due(state && state->action < 0 && concerns(path), 0) ? happen() : real(path);
}

int symlink(const char *target, const char *path) {
    REAL(symlink);
    return due(concerns(path), 0) ? happen() : real(target, path);
}

int link(const char *from, const char *to) {
    REAL(link);
    return due(concerns(to), 0) ? happen() : real(from, to);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(writev);
    return due(concerns_file(file), 0) ? happen() : real(file, parts, count);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset) {
    REAL(pwritev);
    return due(concerns_file(file), 0) ? happen() : real(file, parts, count, offset);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    REAL(sendfile);
    return due(concerns_file(out), 0) ? happen() : real(out, in, offset, count);
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t count, unsigned flags) {
    REAL(copy_file_range);
    return due(concerns_file(out), 0) ? happen() : real(in, from, out, to, count, flags);
}
