/* Skimming in many places at once, one in each lane of vectors, as skim_lane.c does it in two or three; and the DC
 * differences of many blocks at once. skim_avx2.c and skim_avx512.c include this after they have defined the vector
 * operations of their target:
 *
 *   vec, mask       LANES 32-bit elements; a condition for each of them
 *   target          constants that only this target needs: make_target()
 *   v_..., m_...    operations on vectors and masks; "_where" leaves a as it is where the mask is not set
 *
 * The vectors take turns, since each lookup waits for the one before it. Each lane loads 64 bits at its place, which
 * suffice for three lookups. Where blocks begin is appended to a log of the vector, which is sorted by lanes at the end.
 * What a lookup cannot settle is done lane by lane. */

enum { VECTORS = FFP_SKIM_LANES / LANES, FEW = LANES / 5, MOST_TRIES = 64 };

#define WORTH_ALL (16384 * 8) /* bits from which on there are lanes in all vectors, and not in half of them */
#define OVERLAP 1536          /* bits that a lane goes on beyond its end, to fall into step with the next one */

/* One vector of lanes. */
typedef struct {
    vec bit, k;    /* k << 8 */
    vec phase;     /* its number, and from bit 8 on the offset of its table from the first one's entries */
    vec high, low; /* the bits at each place, as far as they are loaded */
    vec end, tag;  /* tag: added to a bit it makes what is logged */
    vec count;     /* how many blocks began in each lane since it began */
    mask active;   /* lanes that are not at their end */
    uint32_t *log;
} state;

typedef struct {
    vec within, skip, advance, full, one;
    target own;
} constants;

typedef struct {
    const uint8_t *base;
    const uint16_t *entry; /* of the table with the lowest address */
    const phase *ring;
    uint32_t next[FFP_VECTOR_PHASES]; /* of each phase, the one that follows */
    int32_t many;                     /* 1: there are more phases than LANES */
    uint32_t *log_start, *log_end;
    int64_t began[LANES]; /* place in the log */
    uint32_t start[LANES];
    int32_t is_first, tries;
} plan;

static uint32_t offset_of(const plan *p, int32_t phase) { return (uint32_t)(p->ring[phase].table->entry - p->entry); }

INLINE constants make_constants(void) {
    constants c = {.within = v_set(7),
                   .skip = v_set(63),
                   .advance = v_set(0xFF00),
                   .full = v_set((LAST << 8) - 1),
                   .one = v_set(1)};
    make_target(&c.own);
    return c;
}

/* Else the compiler makes constants anew at every use. */
#define KEEP_CONSTANTS(c) __asm__("" : "+m"(c))

/* The 64 bits at the places `bit` of the lanes in `where`: 57 are valid. */
INLINE void load_bits(const constants *c, const uint8_t *base, vec bit, mask where, vec *high, vec *low) {
    const vec within = v_and(bit, c->within);
    vec first, second;
    v_words(&c->own, base, v_right(bit, 3), where, &first, &second);
    *high = v_shift(&c->own, first, second, within);
    *low = v_left(second, within);
}

INLINE void refill(const constants *c, const plan *p, state *s) {
    s->active = m_less(s->bit, s->end);
    load_bits(c, p->base, s->bit, s->active, &s->high, &s->low);
}

/* Lanes `which` found no code and begin anew one bit further on; the first lane of all, which began where an MCU does, stops
 * instead, and so does any lane once that has happened too often. */
TARGET static __attribute__((noinline)) void begin_anew(plan *p, state *s, uint32_t which) {
    const constants c = make_constants();
    uint32_t bit[LANES];
    v_store_any(bit, s->bit);
    for (; which; which &= which - 1) {
        const int l = __builtin_ctz(which);
        s->k = v_put(s->k, l, 0);
        if ((l == 0 && p->is_first) || p->tries++ >= MOST_TRIES) {
            s->end = v_put(s->end, l, 0);
            continue;
        }
        s->phase = v_put(s->phase, l, offset_of(p, 0) << 8);
        s->bit = v_put(s->bit, l, bit[l] + 1);
        s->count = v_put(s->count, l, 0);
        p->start[l] = bit[l] + 1;
        p->began[l] = s->log - p->log_start;
    }
    refill(&c, p, s);
}

/* What a closer look changes: a state's parts of the same names. */
typedef struct {
    vec bit, k, high, low;
} places;

/* Steps by search in the lanes `which`, whose lookup e called for a closer look. Returns a bit for each of them that has no code at its place. */
TARGET static __attribute__((noinline)) uint32_t closer(const plan *p, places *s, vec e, vec phases, uint32_t which) {
    uint32_t bit[LANES] __attribute__((aligned(64))), k[LANES] __attribute__((aligned(64)));
    uint32_t phase[LANES] __attribute__((aligned(64))), entry[LANES] __attribute__((aligned(64))), none = 0;
    v_store(k, s->k);
    v_store(bit, s->bit);
    v_store(phase, phases);
    v_store(entry, e);
    for (; which; which &= which - 1) {
        const int l = __builtin_ctz(which);
        uint32_t at = bit[l] - (entry[l] & 63), now = (k[l] - (entry[l] & 0xFF00)) >> 8;
        const uint32_t n = ffp_skim_step(p->ring[phase[l] & 0xFF].table, p->base + (at >> 3), at & 7, &now);
        at += n;
        none |= (uint32_t)(n == 0) << l;
        const uint64_t bits = ffp_load_be64(p->base + (at >> 3)) << (at & 7);
        s->bit = v_put(s->bit, l, at);
        s->k = v_put(s->k, l, now << 8);
        s->high = v_put(s->high, l, (uint32_t)(bits >> 32));
        s->low = v_put(s->low, l, (uint32_t)bits);
    }
    return none;
}

/* One lookup in each lane. */
INLINE void look_up(const constants *c, plan *p, state *s) {
    const vec at = v_add(v_right(s->high, 32 - SKIM_BITS), v_right(s->phase, 8));
    const vec e = v_entries(p->entry, at, s->active), skip = v_and(e, c->skip);
    s->high = v_shift(&c->own, s->high, s->low, skip);
    s->low = v_left(s->low, skip);
    s->bit = v_add(s->bit, skip);
    s->k = v_add(s->k, v_and(e, c->advance));
    const uint32_t look = m_closer(&c->own, s->k);
    if (__builtin_expect(look, 0)) {
        places now = {s->bit, s->k, s->high, s->low};
        const uint32_t none = closer(p, &now, e, s->phase, look);
        s->bit = now.bit;
        s->k = now.k;
        s->high = now.high;
        s->low = now.low;
        if (none) {
            state copy = *s; /* a state whose address nobody takes stays in registers */
            begin_anew(p, &copy, none);
            *s = copy;
        }
    }
    const mask ended = m_less(c->full, s->k);
    const mask begun = m_odd_where(ended, s->phase, c->one); /* after AC codes */
    s->log += v_append(s->log, begun, v_add(s->bit, s->tag));
    s->count = v_count(begun, s->count, c->one);
    s->k = v_zero_where(ended, s->k);
    s->phase = v_next(p->next, p->many, ended, s->phase);
}

INLINE int goes_on(const plan *p, const state *s) {
    return __builtin_popcount(m_bits(m_less(s->bit, s->end))) > FEW && s->log < p->log_end;
}

/* Takes a vector on until hardly a lane is left. */
TARGET static void run_one(plan *p, state *whole) {
    constants c = make_constants();
    state s = *whole;
    KEEP_CONSTANTS(c);
    while (goes_on(p, &s)) {
        refill(&c, p, &s);
        look_up(&c, p, &s);
        look_up(&c, p, &s);
        look_up(&c, p, &s);
    }
    *whole = s;
}

/* Takes two vectors on until one of them stops. */
TARGET static void run_two(plan *p, state *whole) {
    constants c = make_constants();
    state s = whole[0], t = whole[1];
    KEEP_CONSTANTS(c);
    while (goes_on(&p[0], &s) && goes_on(&p[1], &t)) {
        refill(&c, &p[0], &s);
        refill(&c, &p[1], &t);
        look_up(&c, &p[0], &s);
        look_up(&c, &p[1], &t);
        look_up(&c, &p[0], &s);
        look_up(&c, &p[1], &t);
        look_up(&c, &p[0], &s);
        look_up(&c, &p[1], &t);
    }
    whole[0] = s;
    whole[1] = t;
}

/* The marks of lane l of each vector in turn, each lane's beginning first. */
TARGET static void sort_marks(const plan p[VECTORS], const state s[VECTORS], const uint32_t origin[FFP_SKIM_LANES],
                              int vectors, ffp_mark_log *log) {
    uint32_t count[VECTORS][LANES], from[VECTORS][LANES], *to[VECTORS][LANES], *at = log->marks;
    for (int v = 0; v < VECTORS; v++) {
        v_store_any(count[v], s[v].count);
    }
    for (int l = 0; l < FFP_SKIM_LANES; l++) {
        const int v = l % vectors, lane = l / vectors;
        log->begin[l] = at - log->marks;
        if (lane >= LANES) {
            continue;
        }
        *at = p[v].start[lane];
        to[v][lane] = at + 1;
        from[v][lane] = origin[l] - ((uint32_t)lane << LANE_SHIFT);
        at += 1 + count[v][lane];
    }
    log->begin[FFP_SKIM_LANES] = at - log->marks;
    for (int v = 0; v < vectors; v++) {
        for (const uint32_t *entry = p[v].log_start; entry < s[v].log; entry++) {
            const uint32_t lane = *entry >> LANE_SHIFT;
            if (!p[v].tries || entry - p[v].log_start >= p[v].began[lane]) {
                *to[v][lane]++ = *entry + from[v][lane];
            }
        }
    }
}

TARGET static void run(const uint8_t *base, const skim_table *first, const phase *ring, int32_t ring_size,
                       uint32_t begin, uint32_t end, ffp_mark_log *log) {
    plan p[VECTORS];
    state s[VECTORS];
    uint32_t origin[FFP_SKIM_LANES];
    const int vectors = end - begin >= WORTH_ALL ? VECTORS : VECTORS / 2;
    const uint64_t lanes = (uint64_t)vectors * LANES, span = end - begin;
    memset(p, 0, sizeof p);
    for (int v = 0; v < VECTORS; v++) {
        uint32_t stop[LANES], tag[LANES];
        p[v].base = base;
        p[v].entry = first->entry;
        p[v].ring = ring;
        p[v].many = ring_size > LANES;
        p[v].is_first = v == 0;
        p[v].log_start = log->bit + v * (log->capacity / VECTORS + LOG_SLACK);
        p[v].log_end = p[v].log_start + log->capacity / VECTORS;
        for (int l = 0; l < LANES; l++) {
            const uint64_t n = (uint64_t)(l * vectors + v);
            const uint32_t from = v < vectors ? begin + (uint32_t)(span * n / lanes) : begin;
            const uint32_t to = begin + (uint32_t)(span * (n + 1) / lanes) + OVERLAP;
            p[v].start[l] = from;
            stop[l] = v >= vectors ? 0 : to < end ? to : end;
            tag[l] = ((uint32_t)l << LANE_SHIFT) - from;
            if (v < vectors) {
                origin[n] = from;
            }
        }
        for (int32_t i = 0; i < ring_size; i++) {
            const int32_t follows = i + 1 < ring_size ? i + 1 : 0;
            p[v].next[i] = (uint32_t)follows | offset_of(&p[v], follows) << 8;
        }
        s[v] = (state){.bit = v_load_any(p[v].start),
                       .k = v_set(0),
                       .phase = v_set(offset_of(&p[v], 0) << 8),
                       .end = v_load_any(stop),
                       .tag = v_load_any(tag),
                       .log = p[v].log_start};
    }
    for (int v = 0; v < vectors; v += 2) {
        if (v + 1 < vectors) {
            run_two(p + v, s + v);
            run_one(p + v + 1, s + v + 1);
        }
        run_one(p + v, s + v);
    }
    sort_marks(p, s, origin, vectors, log);
}

/* ---- DC differences ----------------------------------------------------------------------------------------------- */

TARGET static int64_t differences(const ffp_header *header, ffp_skim *skim, const skim_table *first,
                                  const skim_table *const tables[FFP_MAX_COMPONENTS]) {
    uint8_t component[FFP_MAX_BLOCKS_PER_MCU];
    const int32_t blocks = ffp_mcu_layout(header, component);
    uint32_t table[FFP_MAX_BLOCKS_PER_MCU + LANES];
    const vec raw = v_set(ffp_bit_of(skim->bytes, 0));
    constants c = make_constants();
    KEEP_CONSTANTS(c);
    int64_t i = 0;
    for (int32_t b = 0; b < blocks + LANES; b++) {
        table[b] = (uint32_t)(tables[component[b % blocks]]->entry - first->entry);
    }
    for (int32_t b = 0; i + LANES <= skim->blocks; i += LANES, b = (b + LANES) % blocks) {
        const vec bit = v_add(v_load_even(skim->bit + 2 * i), raw);
        vec high, low;
        load_bits(&c, skim->bytes, bit, m_all(), &high, &low);
        const vec e = v_entries(first->entry, v_add(v_right(high, 32 - SKIM_BITS), v_load_any(table + b)), m_all());
        const vec skip = v_and(e, c.skip), size = v_sub(v_and(v_right(e, 8), c.skip), c.one);
        const vec value = v_left(high, v_sub(skip, size)); /* left-aligned: EXTEND of T.81 F.2.2.1 */
        const vec least = v_sub(v_set(1), v_left(v_set(1), size));
        const vec magnitude = v_right_each(value, v_sub(v_set(32), size));
        v_store_any(skim->dc + i,
                    v_add_where(m_less(value, v_set(0)), v_add(magnitude, least), v_sub(v_set(0), least)));
        v_store_two(skim->bit + 2 * i, bit, v_add(bit, skip));
        uint32_t slow = m_bits(m_equal(skip, v_set(0)));
        for (; __builtin_expect(slow, 0); slow &= slow - 1) {
            const int l = __builtin_ctz(slow);
            ffp_skim_difference(tables[component[(b + l) % blocks]], skim, i + l, skim->bit[2 * (i + l)]);
        }
    }
    return i;
}
