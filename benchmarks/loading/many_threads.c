/* Stands for the decoder and the renderers in many_threads.py: an image takes a while, and no processor.
 *
 * Every image is said to be grey and of the size that `configure` was told. */
#define _GNU_SOURCE
#include <sys/prctl.h>
#include <time.h>

#include "abi.h"

static uint8_t plane[1 << 20];
static struct timespec wait;
static int64_t width, height;
static _Thread_local int ready;

void configure(int64_t ns, int64_t image_width, int64_t image_height) {
    wait.tv_sec = ns / 1000000000;
    wait.tv_nsec = ns % 1000000000;
    width = image_width;
    height = image_height;
}

int64_t wait_decode(const ffp_decode_request *request) {
    ffp_image_desc *image = (ffp_image_desc *)request->image;
    if (!ready) {
        prctl(PR_SET_TIMERSLACK, 1UL);
        ready = 1;
    }
    clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, 0);
    image->width = width;
    image->height = height;
    image->components = 1;
    image->color = 0;
    image->planes[0] = (ffp_plane_desc){(int64_t)plane, width, 0, 0, width, height, 1, 1, width, height};
    return 0;
}

int64_t render_nothing(const void *request) {
    (void)request;
    return 0;
}
