/* Runs a target without libFuzzer.
 *
 *   TARGET RUNS SEED FILE...
 *
 * Gives the target every file as it is, and then RUNS times damaged. The same numbers give the same streams. Prints how
 * often each status was seen. A run that fails prints its number before it ends; `TARGET 0 0 FILE` repeats a finding
 * that libFuzzer saved. */
#include <signal.h>
#include <unistd.h>

#include "support.h"

static char place[64];

static void say(int number) {
    const ssize_t unused = write(2, place, strlen(place));
    (void)unused;
    signal(number, SIG_DFL);
    raise(number);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s RUNS SEED FILE...\n", argv[0]);
        return 2;
    }
    signal(SIGABRT, say);
    for (int i = 3; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (!f || fseek(f, 0, SEEK_END) != 0) {
            return 2;
        }
        const int64_t size = ftell(f), most = 2 * size + 1024;
        rewind(f);
        uint8_t *original = room((size_t)size), *work = room((size_t)most);
        if (fread(original, 1, (size_t)size, f) != (size_t)size) {
            return 2;
        }
        fclose(f);
        for (int64_t run = 0; run <= atoll(argv[1]); run++) {
            snprintf(place, sizeof place, "file %d, run %lld\n", i - 2, (long long)run);
            state = strtoull(argv[2], NULL, 10) * 1000003u + (uint64_t)i * 7919u + (uint64_t)run;
            int64_t n = size;
            memcpy(work, original, (size_t)size);
            if (run) {
                damage(work, &n, most);
            }
            LLVMFuzzerTestOneInput(work, (size_t)n);
        }
        free(original);
        free(work);
    }
    for (int i = 0; i < FFP_STATUS_COUNT; i++) {
        if (seen[i]) {
            printf("%d %lld\n", i, (long long)seen[i]);
        }
    }
    return 0;
}
