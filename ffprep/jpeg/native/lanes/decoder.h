/* The algorithm of the lane decoders, written once. entropy_avx2.c and entropy_avx512.c include it after they have defined
 * the vector operations of their target:
 *
 *   vec, mask       LANES 32-bit elements; a condition for each of them
 *   amount          how far words are shifted: amount_of(), shift()
 *   target          constants that only this target needs: make_target()
 *   v_..., m_...    operations on vectors and masks; "_where" leaves a as it is where the mask is not set
 *   load_rows, ends_block, place_in_block, value_of, append     steps that the targets do in different ways
 *
 * A lane takes four symbols from 128 bits loaded at its byte position (a code and its value take 27 bits at most), with no
 * branch at the end of a block or at a long code: the next table and the next place are selected. Two vectors take turns,
 * so that one computes while the other waits for its gather. When a job is done its lane gets the next one. */

typedef struct {
    vec pos, limit, place, base, last, turn, table, reached; /* as in ffp_lanes */
    mask active;
} lanes;

#define EACH_FIELD(F) F(pos) F(limit) F(place) F(base) F(last) F(turn) F(table) F(reached)

typedef struct constants {
    const uint32_t *table;
    const uint8_t *bytes;
    int16_t *coef;
    vec turns; /* ffp_lane_plan */
    vec limit; /* byte after the last of all */
    vec idle;  /* where lanes at rest write */
    vec swap, word, within, block, table_bits, drop, more, bad;
    target own;
} constants;

/* Where a vector's lanes lie in memory, and its coefficients on their way there. */
typedef struct {
    ffp_lanes *group;
    int first;      /* number of its first lane in the group */
    ffp_late *late; /* one for each of four steps */
} home;

INLINE mask ends_block(const constants *c, vec place);
INLINE vec place_in_block(const constants *c, vec place);
INLINE amount amount_of(const constants *c, vec e, vec n);
INLINE vec value_of(const constants *c, vec bits, vec e, amount by);
INLINE void append(const constants *c, ffp_log *log, mask ended, const lanes *l, vec place);

/* The 128 bits at the lanes' positions, as four vectors of words. */
INLINE void load_bits(const constants *c, vec pos, vec w[4]) {
    uint32_t at[LANES] __attribute__((aligned(64)));
    v_store(at, v_min(v_right(pos, 3), c->limit));
    const vec r0 = load_rows(c->bytes, at, 0), r1 = load_rows(c->bytes, at, 1);
    const vec r2 = load_rows(c->bytes, at, 2), r3 = load_rows(c->bytes, at, 3);
    const vec a = v_low_words(r0, r1), b = v_low_words(r2, r3), d = v_high_words(r0, r1), e = v_high_words(r2, r3);
    const vec w0 = v_bytes(v_low_pairs(a, b), c->swap), w1 = v_bytes(v_high_pairs(a, b), c->swap);
    const vec w2 = v_bytes(v_low_pairs(d, e), c->swap), w3 = v_bytes(v_high_pairs(d, e), c->swap);
    const vec n = v_and(pos, v_right(c->drop, 2));
    const amount by = amount_of(c, n, n);
    w[0] = shift(w0, w1, by);
    w[1] = shift(w1, w2, by);
    w[2] = shift(w2, w3, by);
    w[3] = v_left_each(w3, n);
}

/* The entry of the next symbol in every lane. */
INLINE vec look_up(const constants *c, const lanes *l, vec bits) {
    return v_gather(c->table, v_add(v_right(bits, 32 - FFP_LANE_BITS), l->table));
}

/* Takes the symbol with entry e in every active lane, then moves on in the `words` words at w. */
INLINE void take(const constants *c, lanes *l, vec *w, int words, vec e, ffp_late *late, int first, ffp_log *log) {
    const vec n = v_and(e, c->drop);
    const amount by = amount_of(c, e, n);
    const mask whole = m_lacks(e, c->more);
    const vec place = v_add_where(whole, l->place, v_right(e, 21));
    const mask ends = ends_block(c, place);
    const vec table = v_and(v_right_where(ends, l->turn, FFP_TURN_DC), c->table_bits);
    l->table = v_select(whole, table, v_right(e, 16));
    const vec value = value_of(c, w[0], e, by);
    const vec at = v_add(l->base, place_in_block(c, place));
    const mask takes = m_and(whole, l->active);
    v_store(late->at + first, v_select(takes, at, c->idle));
    v_store(late->value + first, value);
    l->reached = v_or_where(takes, l->reached, place); /* a long DC code leaves -1, which has all bits */
    l->pos = v_add_where(l->active, l->pos, n);
    if (log) {
        append(c, log, m_and(ends, l->active), l, place);
    }
    const mask done = m_equal_where(ends, l->base, l->last);
    l->place = v_ones_where(ends, place);
    l->base = v_add_where(ends, l->base, c->block);
    l->turn = v_permute_where(ends, l->turn, c->turns, v_right(l->turn, FFP_TURN_NEXT));
    l->active = m_and_not(l->active, done);
    for (int i = 0; i + 1 < words; i++) {
        w[i] = shift(w[i], w[i + 1], by);
    }
}

/* A step of a vector: one symbol in every active lane. */
INLINE void step(const constants *c, lanes *l, vec *w, const home *h, int i, ffp_log *log) {
    const vec e = look_up(c, l, w[0]);
    ffp_write_out(c->coef, h->late + i, h->first, LANES);
    take(c, l, w, 4 - i, e, h->late + i, h->first, log);
}

/* A step of two vectors side by side: so both lookups are under way at once. */
INLINE void two_steps(const constants *c, lanes *x, vec *v, const home *a, int i, lanes *y, vec *w, const home *b,
                      int j, ffp_log *log) {
    const vec e = look_up(c, x, v[0]), f = look_up(c, y, w[0]);
    ffp_write_out(c->coef, a->late + i, a->first, LANES);
    take(c, x, v, 4 - i, e, a->late + i, a->first, log);
    ffp_write_out(c->coef, b->late + j, b->first, LANES);
    take(c, y, w, 4 - j, f, b->late + j, b->first, log);
}

/* ---- between memory and vectors ----------------------------------------------------------------------------------- */

INLINE lanes load_lanes(const home *h) {
    lanes v;
#define LOAD(field) v.field = v_load(h->group->field + h->first);
    EACH_FIELD(LOAD)
#undef LOAD
    v.active = m_of(h->group->active >> h->first);
    return v;
}

INLINE void store_lanes(const home *h, const lanes *v) {
#define STORE(field) v_store(h->group->field + h->first, v->field);
    EACH_FIELD(STORE)
#undef STORE
    const uint32_t all = (1u << LANES) - 1;
    h->group->active = (h->group->active & ~(all << h->first)) | m_bits(v->active) << h->first;
}

/* How many lanes are active; right after a change. */
INLINE int active_in(const home *h) { return __builtin_popcount(h->group->active >> h->first & ((1u << LANES) - 1)); }

/* Lanes that were busy and stopped, or are past their limit. */
INLINE mask stopped(const lanes *l, mask busy) {
    const mask past = m_greater_where(l->active, v_right(l->pos, 3), l->limit);
    return m_or(m_and_not(busy, l->active), past);
}

/* Ends what stopped in a vector since its lanes were `busy`. */
INLINE void change_vector(ffp_queue *q, const home *h, const lanes *l, mask busy) {
    q->change(q, h->group, m_bits(stopped(l, busy)) << h->first);
}

INLINE int must_change(const lanes *l, mask busy, const ffp_log *log) {
    return __builtin_expect(m_any(stopped(l, busy)), 0) || (log && log->count > FFP_LOG);
}

/* Takes the lanes of a vector through the queue until at most `enough` of them are active. */
INLINE void run_vector(ffp_queue *q, const constants *c, const home *a, int enough, ffp_log *log) {
    lanes x = load_lanes(a);
    while (active_in(a) > enough) {
        const mask busy = x.active;
        vec v[4];
        load_bits(c, x.pos, v);
        for (int i = 0; i < 4; i++) {
            step(c, &x, v, a, i, log);
        }
        if (must_change(&x, busy, log)) {
            const lanes copy = x; /* so that they stay in registers elsewhere */
            store_lanes(a, &copy);
            change_vector(q, a, &copy, busy);
            x = load_lanes(a);
        }
    }
}

/* The same of two vectors. The second one is two steps behind, so that one decodes while the other loads its bits. */
INLINE void run_two_vectors(ffp_queue *q, const constants *c, const home *a, const home *b, int enough, ffp_log *log) {
    lanes x = load_lanes(a), y = load_lanes(b);
    mask busy_x = x.active, busy_y = y.active;
    vec v[4], w[4];
#define CHANGE()                                                                                                       \
    do {                                                                                                               \
        const lanes copy = x, other = y; /* so that they stay in registers elsewhere */                                \
        store_lanes(a, &copy);                                                                                         \
        store_lanes(b, &other);                                                                                        \
        change_vector(q, a, &copy, busy_x);                                                                            \
        change_vector(q, b, &other, busy_y);                                                                           \
        x = load_lanes(a);                                                                                             \
        y = load_lanes(b);                                                                                             \
        busy_x = x.active;                                                                                             \
        busy_y = y.active;                                                                                             \
        if (active_in(a) + active_in(b) <= enough) {                                                                   \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)
    if (active_in(a) + active_in(b) <= enough) {
        return;
    }
    load_bits(c, y.pos, w);
    step(c, &y, w, b, 0, log);
    step(c, &y, w, b, 1, log);
    for (;;) {
        load_bits(c, x.pos, v);
        two_steps(c, &x, v, a, 0, &y, w, b, 2, log);
        two_steps(c, &x, v, a, 1, &y, w, b, 3, log);
        if (must_change(&y, busy_y, log)) {
            CHANGE();
            load_bits(c, x.pos, v);
        }
        busy_y = y.active;
        load_bits(c, y.pos, w);
        two_steps(c, &x, v, a, 2, &y, w, b, 0, log);
        two_steps(c, &x, v, a, 3, &y, w, b, 1, log);
        if (must_change(&x, busy_x, log)) {
            CHANGE();
            load_bits(c, y.pos, w);
        }
        busy_x = x.active;
    }
#undef CHANGE
}

/* ---- the engine --------------------------------------------------------------------------------------------------- */

INLINE void run_lanes(ffp_queue *q, ffp_lanes *first, ffp_lanes *second, ffp_log *log) {
    constants c = {.table = q->plan.table,
                   .bytes = q->bytes,
                   .coef = q->coef,
                   .turns = v_load_any(q->plan.turns),
                   .limit = v_set(q->end),
                   .idle = v_set(q->idle),
                   .swap = v_set_four(0x00010203, 0x04050607, 0x08090A0B, 0x0C0D0E0F),
                   .word = v_set(0xFFFF),
                   .within = v_set(63),
                   .block = v_set(64),
                   .table_bits = v_set(FFP_TURN_TABLE),
                   .drop = v_set(31),
                   .more = v_set(FFP_LANE_LONG),
                   .bad = v_set(FFP_END_BAD)};
    make_target(&c.own, log != NULL);
    __asm__("" : "+m"(c));    /* else the compiler makes the constants anew at every use */
    if (LANES == FFP_LANES) { /* a vector is a group: two of them, and one when half of the lanes are idle */
        const home a = {first, 0, q->late}, b = {second, 0, q->late + 4};
        run_two_vectors(q, &c, &a, &b, FFP_LANES, log);
        ffp_lane_merge(first, second);
        run_vector(q, &c, &a, q->enough, log);
    } else { /* two vectors make one group */
        const home low = {first, 0, q->late}, high = {first, LANES, q->late};
        run_two_vectors(q, &c, &low, &high, q->enough, log);
    }
}

TARGET static void run_plain(ffp_queue *q, ffp_lanes *a, ffp_lanes *b) { run_lanes(q, a, b, NULL); }

TARGET static void run_logged(ffp_queue *q, ffp_lanes *a, ffp_lanes *b) { run_lanes(q, a, b, q->log); }

static void run(ffp_queue *q, ffp_lanes *a, ffp_lanes *b) { (q->log ? run_logged : run_plain)(q, a, b); }
