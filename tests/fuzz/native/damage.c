/* Damage as JPEG streams meet it, and as they never do: for driver.c, and for libFuzzer beside its own mutations. */
#include "support.h"

static void change(uint8_t *data, int64_t *size, int64_t most) {
    const int64_t n = *size, head = n < 700 ? n : 700;
    int64_t at, count;
    switch (below(9)) {
    case 0: /* random bytes anywhere */
        for (count = 1 + below(20); count > 0; count--) {
            data[below(n)] = (uint8_t)below(256);
        }
        break;
    case 1: /* in the header */
        for (count = 1 + below(4); count > 0; count--) {
            data[below(head)] = (uint8_t)below(256);
        }
        break;
    case 2: /* one bit */
        data[below(n)] ^= (uint8_t)(1 << below(8));
        break;
    case 3: /* cut short */
        *size = 1 + below(n);
        break;
    case 4: /* a marker somewhere */
        at = below(n - 1);
        data[at] = 0xFF;
        data[at + 1] = (uint8_t)(0xC0 + below(64));
        break;
    case 5: /* a piece taken out */
        at = below(n);
        count = 1 + below(n - at < 64 ? n - at : 64);
        memmove(data + at, data + at + count, (size_t)(n - at - count));
        *size = n - count;
        break;
    case 6: /* a piece repeated */
        at = below(n);
        count = 1 + below(n - at < 300 ? n - at : 300);
        if (n + count <= most) {
            memmove(data + at + count, data + at, (size_t)(n - at));
            *size = n + count;
        }
        break;
    case 7: /* a run of one value */
        at = below(n);
        count = 1 + below(n - at < 40 ? n - at : 40);
        memset(data + at, below(2) ? 0xFF : (int)below(256), (size_t)count);
        break;
    default: /* a length or a size field made extreme */
        at = below(head - 1);
        data[at] = (uint8_t)(below(2) ? 0xFF : 0);
        data[at + 1] = (uint8_t)(below(2) ? 0xFF : below(4));
    }
}

void damage(uint8_t *data, int64_t *size, int64_t most) {
    for (int64_t times = 1 + below(4); times > 0 && *size > 4; times--) {
        change(data, size, most);
    }
}

#ifdef FFP_LIBFUZZER
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed) {
    state = seed;
    if (below(2)) {
        return LLVMFuzzerMutate(data, size, most);
    }
    int64_t n = (int64_t)size;
    damage(data, &n, (int64_t)most);
    return (size_t)n;
}
#endif
