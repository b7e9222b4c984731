/* Bytes left over after the last MCU: whether the image in front of them is whole.
 *
 * Either somebody appended bytes to a complete scan, or the header gives fewer lines than the scan holds; then the image is
 * whole. Or codes were damaged or bytes put in somewhere: the decoder went on out of step, and had all MCUs before the
 * data was at its end. In a complete scan the last byte is filled up with ones (T.81 F.1.2.3). Where lines are left, the
 * rest decodes to whole rows of MCUs. And where decoding was out of step, the sums of DC differences often leave the range.
 */
#include "context.h"
#include "skim/marks.h"

static int filled_up(const ffp_skim *skim, uint32_t bit) {
    const uint32_t mask = (1u << (-bit & 7)) - 1;
    return (bit & 7) == 0 || (skim->bytes[bit >> 3] & mask) == mask;
}

/* Whether bits from there to the next marker, the first `bit` of data[at] left out, are MCUs that fill rows, or the restart
 * interval. */
static int whole_rows(const uint8_t *data, int64_t size, const ffp_header *header, int64_t at, int32_t bit) {
    ffp_context *ctx = ffp_context_new();
    ffp_stream stream = {0};
    int64_t mcus = 0;
    int32_t status = ctx ? FFP_OK : FFP_NO_MEMORY;
    if (!ctx) {
        return 0;
    }
    ffp_prepare_tables(ctx, header);
    ffp_bits_start(&stream.bits, data + at, data + size, bit);
    do {
        ffp_bits ahead = stream.bits; /* what is left may be padding */
        if (ffp_bits_finish(&ahead) == FFP_OK) {
            break;
        }
        status = ffp_stream_decode(ctx, header, &stream, 1, NULL);
        mcus++;
    } while (status == FFP_OK);
    ffp_context_free(ctx);
    if (status != FFP_OK) {
        return 0;
    }
    const uint8_t *p = stream.bits.next, *end = data + size;
    const int restarts = end - p > 1 && p[0] == 0xFF && (p[1] & 0xF8) == FFP_M_RST0;
    const int64_t all = (int64_t)header->mcus_x * header->mcus_y + mcus;
    return restarts && header->restart_interval ? all % header->restart_interval == 0 : all % header->mcus_x == 0;
}

int ffp_left_over_is_extra(const uint8_t *data, int64_t size, const ffp_header *header, const ffp_skim *skim,
                           int64_t last) {
    uint8_t component[FFP_MAX_BLOCKS_PER_MCU];
    const int32_t blocks = ffp_mcu_layout(header, component);
    for (int64_t i = 0; i < skim->blocks; i++) {
        if (!ffp_plausible_dc(skim->dc[i], header->quant[header->comp[component[i % blocks]].tq][0])) {
            return 0;
        }
    }
    const uint32_t bit = skim->segment_end[skim->segments - 1];
    const int64_t whole = (bit >> 3) - skim->segment_begin[skim->segments - 1];
    return filled_up(skim, bit) || whole_rows(data, size, header, ffp_after_unstuffed(data, last, whole), bit & 7);
}
