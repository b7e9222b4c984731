/* One line that names the file before SIGBUS ends the process: see guard.h.
 *
 * Everything the handler calls may be called in a handler: it allocates nothing and takes no lock. Places in the list of
 * watched memory are reused, but never freed, so that it can walk along at any time. Adding and removing is guarded by
 * the caller, who holds a lock. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard.h"

enum { PATH_ROOM = 2048, LINE_ROOM = PATH_ROOM + 512 };

typedef struct watched {
    struct watched *next, *next_free;
    uintptr_t start, end; /* end 0: free */
    char path[PATH_ROOM];
} watched;

static watched *first, *first_free;
static int64_t active;
static struct sigaction before;

static const watched *find(uintptr_t address) {
    for (const watched *w = __atomic_load_n(&first, __ATOMIC_ACQUIRE); w; w = w->next) {
        if (address < __atomic_load_n(&w->end, __ATOMIC_ACQUIRE) && address >= w->start) {
            return w;
        }
    }
    return NULL;
}

static int64_t size_now(const watched *w) {
    struct stat now;
    return stat(w->path, &now) == 0 ? (int64_t)now.st_size : -1;
}

static int is_cut(const watched *w) {
    int64_t size = size_now(w);
    return size >= 0 && (uint64_t)size < w->end - w->start;
}

/* A watched file that is shorter than it was: the culprit if another handler passed the signal on without the address. */
static const watched *find_cut(void) {
    const watched *w = __atomic_load_n(&first, __ATOMIC_ACQUIRE);
    while (w && (!w->end || !is_cut(w))) {
        w = w->next;
    }
    return w;
}

typedef struct {
    char *text;
    int64_t used, room;
} line_buffer;

static void put(line_buffer *line, const char *text) {
    for (; *text && line->used < line->room; text++) {
        line->text[line->used++] = (unsigned char)*text < ' ' ? '?' : *text;
    }
}

static void put_number(line_buffer *line, uint64_t number) {
    char digits[24];
    int place = sizeof digits - 1;
    digits[place] = 0;
    do {
        digits[--place] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    put(line, digits + place);
}

int64_t ffp_watch_line(const uint8_t *address, char *text, int64_t room) {
    const watched *w = address ? find((uintptr_t)address) : find_cut();
    if (!w || room < 1) {
        return 0;
    }
    line_buffer line = {text, 0, room - 1};
    put(&line, "ffprep: ");
    put(&line, w->path);
    put(&line, ": byte ");
    put_number(&line, address ? (uintptr_t)address - w->start : (uint64_t)size_now(w));
    put(&line, " cannot be read, so the process ends (SIGBUS): ");
    if (is_cut(w)) {
        put(&line, "the file had ");
        put_number(&line, w->end - w->start);
        put(&line, " bytes when it was opened and has ");
        put_number(&line, (uint64_t)size_now(w));
        put(&line, " now; write files under another name and rename them");
    } else {
        put(&line, "the disk or the network failed, or the file was cut; see the system's log, then `ffprep verify`");
    }
    text[line.used++] = '\n';
    return line.used;
}

/* Calls the handler that was there before ours; returns 0 when that was none. */
static int passed_on(int number, siginfo_t *info, void *context) {
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
        return 1;
    }
    if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
        return 1;
    }
    return 0;
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    int failed_read = info->si_code > 0; /* rather than a signal that a process sent */
    char line[LINE_ROOM];
    int64_t length = ffp_watch_line(failed_read ? info->si_addr : NULL, line, sizeof line);
    if (!length) {
        if (!passed_on(number, info, context) && (failed_read || before.sa_handler == SIG_DFL)) {
            signal(number, SIG_DFL);
            raise(number);
        }
        return;
    }
    static int ending;
    static pthread_t ends;
    if (!__atomic_exchange_n(&ending, 1, __ATOMIC_ACQ_REL)) {
        ends = pthread_self();
        ssize_t unused = write(STDERR_FILENO, line, (size_t)length);
        (void)unused;
        passed_on(number, info, context);
    } else if (!pthread_equal(ends, pthread_self())) {
        for (;;) {
            pause(); /* another thread has said it, and ends the process */
        }
    }
    signal(number, SIG_DFL); /* so that the same read, which fails again on return, ends the process */
    if (!failed_read) {
        raise(number);
    }
}

static void install(void) {
    struct sigaction ours, now;
    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = on_bus_error;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGBUS, NULL, &now) == 0 && !((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_bus_error)) {
        before = now;
        sigaction(SIGBUS, &ours, NULL);
    }
}

static void uninstall(void) {
    struct sigaction now;
    if (sigaction(SIGBUS, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_bus_error) {
        sigaction(SIGBUS, &before, NULL);
    } /* else another handler came later and may call ours; it finds nothing watched, and passes signals on */
}

int64_t ffp_watch(const uint8_t *start, int64_t size, const char *path) {
    watched *w = first_free;
    if (w) {
        first_free = w->next_free;
    } else {
        w = calloc(1, sizeof *w);
        if (!w) {
            return -1;
        }
        w->next = first;
        __atomic_store_n(&first, w, __ATOMIC_RELEASE);
    }
    w->start = (uintptr_t)start;
    strncpy(w->path, path, PATH_ROOM - 1);
    __atomic_store_n(&w->end, (uintptr_t)start + (uintptr_t)size, __ATOMIC_RELEASE);
    if (active++ == 0) {
        install();
    }
    return (int64_t)(uintptr_t)w;
}

void ffp_unwatch(int64_t ticket) {
    watched *w = (watched *)(uintptr_t)ticket; /* not looked for: of 10,000 files that would take a second */
    __atomic_store_n(&w->end, 0, __ATOMIC_RELEASE);
    w->next_free = first_free;
    first_free = w;
    if (--active == 0) {
        uninstall();
    }
}
