/* One pass of the inverse DCT (idct_scalar.c) over as many lines as a vector has 32-bit elements, written once. Included
 * after the target has defined
 *
 *   vec, INLINE
 *   v_add(a, b), v_sub(a, b)
 *   v_dot(x, p, q)                   p and q times the two 16-bit halves of each element of x, added
 *   v_dot_plus(sum, x, p, q)         the same added to sum
 *   v_dot_both(sum, x, p, q, plus, minus)  the same added to sum, and subtracted from it
 */

/* The inputs 0..7 of all lines, two side by side in each element. */
typedef struct {
    vec p04, p26, p13, p57;
} pairs;

/* The eight outputs before they are shifted; `round` is added to each. */
INLINE void transform(pairs x, vec round, vec out[8]) {
    const vec s = v_dot_plus(round, x.p04, 8192, 8192), d = v_dot_plus(round, x.p04, 8192, -8192);
    vec e0, e1, e2, e3;
    v_dot_both(s, x.p26, 10703, 4433, &e0, &e3);
    v_dot_both(d, x.p26, 4433, -10704, &e1, &e2);
    const vec o0 = v_dot_plus(v_dot(x.p13, 11363, 9633), x.p57, 6437, 2260);
    const vec o1 = v_dot_plus(v_dot(x.p13, 9633, -2259), x.p57, -11362, -6436);
    const vec o2 = v_dot_plus(v_dot(x.p13, 6437, -11362), x.p57, 2261, 9633);
    const vec o3 = v_dot_plus(v_dot(x.p13, 2260, -6436), x.p57, 9633, -11363);
    out[0] = v_add(e0, o0);
    out[1] = v_add(e1, o1);
    out[2] = v_add(e2, o2);
    out[3] = v_add(e3, o3);
    out[4] = v_sub(e3, o3);
    out[5] = v_sub(e2, o2);
    out[6] = v_sub(e1, o1);
    out[7] = v_sub(e0, o0);
}
