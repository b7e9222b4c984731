/* Jobs on their way through lanes: unstuffed and put in order, what happens in a lane between two jobs, and the entry
 * point of the lane levels. Jobs that do not end as they should are decoded again by the scalar decoder, which gives the
 * status. */
#include <string.h>

#include "lanes/lanes.h"

enum {
    CHUNK_BYTES = 1 << 28, /* of entropy-coded data at once: bits are counted in 32 bits */
    TWO_GROUPS = 24        /* jobs from which a second group of lanes pays */
};

/* ---- jobs --------------------------------------------------------------------------------------------------------- */

/* Puts long jobs first, so that the lanes end together. The measure is bytes; a job that stops early counts for a part of
 * its own. */
static void order_jobs(const ffp_job *jobs, int32_t n, ffp_lane_job *lanes) {
    enum { STEPS = 64 };
    int32_t start[STEPS + 1] = {0}, most = 1;
    int64_t longest = 1;
    for (int32_t i = 0; i < n; i++) {
        int64_t size = jobs[i].end - jobs[i].begin;
        longest = size > longest ? size : longest;
        most = jobs[i].mcus > most ? jobs[i].mcus : most;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t i = 0; i < n; i++) {
            double part = (double)(jobs[i].end - jobs[i].begin) / (double)longest;
            part *= jobs[i].to_end ? 1.0 : (double)jobs[i].mcus / most;
            int32_t step = (int32_t)((1 - part) * (STEPS - 1));
            if (pass == 0) {
                start[step + 1]++;
            } else {
                lanes[start[step]++].turn = i;
            }
        }
        for (int i = 0; pass == 0 && i < STEPS; i++) {
            start[i + 1] += start[i];
        }
    }
}

/* Unstuffs as many of the jobs as 32-bit positions can address; ctx owns the bytes (level_bytes) and the lane jobs
 * (level_work). 0: no job, or no memory. */
static int load_jobs(ffp_queue *q, int32_t njobs, ffp_unstuff unstuff) {
    ffp_context *ctx = q->ctx;
    const ffp_job *jobs = q->jobs;
    const int32_t blocks = q->plan.blocks;
    int64_t bytes = 0;
    int32_t n = 0;
    int16_t *low = jobs[0].coef;
    int16_t *high = low;
    for (; n < njobs; n++) {
        int64_t size = jobs[n].end - jobs[n].begin;
        int16_t *l = jobs[n].coef < low ? jobs[n].coef : low, *h = jobs[n].coef > high ? jobs[n].coef : high;
        if (size > CHUNK_BYTES - bytes || h - l > INT32_MAX / 4 || (int64_t)jobs[n].mcus * blocks > INT32_MAX / 256) {
            break;
        }
        bytes += size + 128;
        low = l;
        high = h;
    }
    if (n == 0 || ffp_reserve(&ctx->level_bytes, (size_t)bytes + 128) != FFP_OK ||
        ffp_reserve(&ctx->level_work, (size_t)n * sizeof(ffp_lane_job)) != FFP_OK) {
        return 0;
    }
    ffp_lane_job *lanes = (ffp_lane_job *)ctx->level_work.ptr;
    uint8_t *start = ctx->level_bytes.ptr, *out = start;
    for (int32_t i = 0; i < n; i++) {
        const ffp_job *job = jobs + i;
        int64_t taken, got = unstuff(job->begin, job->end - job->begin, out, &taken);
        lanes[i].regular = taken == job->end - job->begin;
        memset(out + got, 0, FFP_LANE_PAD);
        lanes[i].pos = (uint32_t)(out - start) * 8 + (uint32_t)job->start_bit;
        lanes[i].end = (uint32_t)(out - start + got);
        lanes[i].coef = (uint32_t)(job->coef - low);
        lanes[i].last = lanes[i].coef + ((uint32_t)job->mcus * (uint32_t)blocks - 1) * 64;
        out += got + FFP_LANE_PAD;
    }
    order_jobs(jobs, n, lanes);
    q->work = lanes;
    q->bytes = start;
    q->end = (uint32_t)(out - start) - FFP_LANE_PAD;
    q->coef = low;
    q->idle = lanes[0].last + 64;
    q->next = 0;
    q->count = n;
    return 1;
}

/* ---- lanes -------------------------------------------------------------------------------------------------------- */

/* Whether a lane that stopped at bit pos, having reached these places, decoded its job as the scalar decoder does. */
static int sound(const ffp_lane_job *lane, const ffp_job *job, uint32_t pos, uint32_t reached) {
    uint64_t end = (uint64_t)lane->end * 8;
    return !(reached & FFP_LANE_BAD_BIT) && pos <= end && (!job->to_end || end - pos < 8);
}

void ffp_lane_settle(ffp_queue *q) {
    for (int i = 0; i < 8; i++) {
        ffp_write_out(q->coef, q->late + i, 0, FFP_LANES);
        for (int j = 0; j < FFP_LANES; j++) {
            q->late[i].at[j] = q->idle;
        }
        memset(q->late[i].value, 0, sizeof q->late[i].value);
    }
    q->coef[q->idle] = 0;
}

void ffp_lane_start(const ffp_queue *q, ffp_lanes *l, int i, int32_t job, uint32_t pos, uint32_t limit, uint32_t coef,
                    uint32_t last) {
    l->job[i] = job;
    l->pos[i] = pos;
    l->limit[i] = limit;
    l->place[i] = UINT32_MAX;
    l->base[i] = coef;
    l->last[i] = last;
    l->turn[i] = q->plan.turns[0];
    l->table[i] = q->plan.dc_first;
    l->reached[i] = 0;
    l->active |= 1u << i;
}

/* Decodes jobs with the scalar decoder, from a clean start, into the engine's order. */
static void decode_scalar(const ffp_lane_engine *engine, ffp_context *ctx, const ffp_header *header, ffp_job *jobs,
                          int32_t n) {
    ffp_entropy_scalar(ctx, header, jobs, n);
    for (int32_t i = 0; engine->arrange && i < n; i++) {
        if (jobs[i].status == FFP_OK) {
            engine->arrange(jobs[i].coef, (int64_t)jobs[i].mcus * header->blocks_per_mcu);
        }
    }
}

/* Decodes job n again with the scalar decoder, whose word on the status is final. */
static void repair(ffp_queue *q, int32_t n) {
    ffp_job *job = q->jobs + n;
    q->ctx->repaired++;
    memset(job->coef, 0, ((size_t)job->mcus * (size_t)q->plan.blocks + 1) * 128);
    decode_scalar(q->engine, q->ctx, q->header, job, 1);
}

/* Puts the next job into lane i; leaves it idle when there is none. */
static void fill_lane(ffp_queue *q, ffp_lanes *l, int i) {
    while (q->next < q->count) {
        int32_t n = q->work[q->next++].turn;
        const ffp_lane_job *w = q->work + n;
        if (!w->regular) {
            repair(q, n);
            continue;
        }
        q->jobs[n].status = FFP_OK;
        ffp_lane_start(q, l, i, n, w->pos, w->end, w->coef, w->last);
        return;
    }
}

static void change_jobs(ffp_queue *q, ffp_lanes *l, uint32_t lanes) {
    for (; lanes; lanes &= lanes - 1) {
        int i = __builtin_ctz(lanes);
        int32_t n = l->job[i];
        l->active &= ~(1u << i);
        if (!sound(q->work + n, q->jobs + n, l->pos[i], l->reached[i])) {
            ffp_lane_settle(q);
            repair(q, n);
        }
        fill_lane(q, l, i);
    }
}

void ffp_lane_merge(ffp_lanes *a, const ffp_lanes *b) {
    uint32_t room = ~a->active;
    for (uint32_t left = b->active; left; left &= left - 1, room &= room - 1) {
        int i = __builtin_ctz(room), j = __builtin_ctz(left);
        a->pos[i] = b->pos[j];
        a->limit[i] = b->limit[j];
        a->place[i] = b->place[j];
        a->base[i] = b->base[j];
        a->last[i] = b->last[j];
        a->turn[i] = b->turn[j];
        a->table[i] = b->table[j];
        a->reached[i] = b->reached[j];
        a->job[i] = b->job[j];
        a->active |= 1u << i;
    }
}

/* ---- entry -------------------------------------------------------------------------------------------------------- */

int32_t ffp_lane_entropy(const ffp_lane_engine *engine, ffp_context *ctx, const ffp_header *header, ffp_job *jobs,
                         int32_t njobs) {
    ffp_queue q;
    int32_t first = FFP_OK;
    q.engine = engine;
    q.ctx = ctx;
    q.header = header;
    q.log = NULL;
    q.enough = 0;
    q.change = change_jobs;
    const int able = ffp_lane_prepare(ctx, header, &q.plan) == FFP_OK && q.plan.blocks <= engine->most_blocks;
    for (int32_t done = 0; done < njobs;) {
        q.jobs = jobs + done;
        if (!able || !load_jobs(&q, njobs - done, engine->unstuff)) {
            const int32_t n = able ? 1 : njobs;
            decode_scalar(engine, ctx, header, jobs + done, n);
            done += n;
            continue;
        }
        memset(q.late, 0, sizeof q.late);
        ffp_lane_settle(&q);
        ffp_lanes a, b;
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        for (int i = 0; i < FFP_LANES; i++) {
            fill_lane(&q, &a, i);
        }
        for (int i = 0; i < FFP_LANES && engine->groups > 1 && q.count >= TWO_GROUPS; i++) {
            fill_lane(&q, &b, i);
        }
        engine->run(&q, &a, &b);
        ffp_lane_settle(&q);
        done += q.count;
    }
    for (int32_t i = 0; first == FFP_OK && i < njobs; i++) {
        first = jobs[i].status;
    }
    return first;
}
