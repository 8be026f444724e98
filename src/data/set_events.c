// set_events.c - sets of event recordings as frames: N-MNIST, N-Caltech101, CIFAR10-DVS, folders, moving glyphs.
//
// A sample is T frames of two polarities: c = 2 T channels, channel 2 t + p, counts as bytes. Counts above 255 are
// clipped, and the set says how many. Sets without an official split get one that follows from the names alone
// (event_split.c), or from a file.
#include "event_set.h"
#include "lethe/rng.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    lt_frame_rule rule;
} rules[] = {{"time", LT_FRAMES_TIME},
             {"time-all", LT_FRAMES_TIME_ALL},
             {"count", LT_FRAMES_COUNT},
             {"count-all", LT_FRAMES_COUNT_ALL},
             {"window", LT_FRAMES_WINDOW}};
enum { N_RULES = sizeof rules / sizeof *rules, MAX_STEPS = 128 };

static lt_status read_rule(const lti_spec *spec, lt_frame_rule *rule)
{
    const char *text = lti_spec_get(spec, "frames");
    const char *names[N_RULES + 1] = {NULL};
    *rule = LT_FRAMES_TIME;
    for (int i = 0; i < N_RULES; i++) {
        names[i] = rules[i].name;
        if (text && !strcmp(text, names[i])) {
            *rule = rules[i].rule;
            return LT_OK;
        }
    }
    if (!text)
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "frames: no rule is called '%s'", text);
    return lti_name_hint(text, names);
}

lt_status lti_event_set_init(lti_event_set *e, const lti_open_args *args, const lti_event_kind *kind, lti_raw *raw)
{
    int64_t steps, window, size, flip, crop;
    *e = (lti_event_set){.args = args, .kind = kind, .raw = raw};
    LT_TRY(lti_key_i64(args->spec, "steps", 1, MAX_STEPS, 10, &steps));
    LT_TRY(lti_key_i64(args->spec, "window-us", 1, INT64_MAX / 2, 30000, &window));
    LT_TRY(lti_key_i64(args->spec, "size", 0, LTI_MAX_SIDE, kind->size, &size));
    LT_TRY(lti_key_i64(args->spec, "flip", 0, 1, kind->flip, &flip));
    LT_TRY(lti_key_i64(args->spec, "crop", 0, 1, 0, &crop));
    e->frames = (lt_frame_spec){.steps = (int32_t)steps, .window_us = window, .w = kind->w, .h = kind->h};
    e->crop = crop != 0;
    LT_TRY(read_rule(args->spec, &e->frames.rule));
    raw->c = 2 * (int)steps;
    raw->h = size ? (int)size : kind->h;
    raw->w = size ? (int)size : kind->w;
    raw->steps = (int)steps;
    raw->flip = flip != 0;
    return LT_OK;
}

void lti_event_set_clear(lti_event_set *e)
{
    lti_free(e->counts);
    lti_free(e->plane);
}

// Moves the events to the origin and takes the smallest canvas, as the paper's code does for N-Caltech101.
static void crop_stream(lt_event_stream *s, lt_frame_spec *f)
{
    uint16_t x0 = UINT16_MAX, y0 = UINT16_MAX, x1 = 0, y1 = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const lt_dvs_event *v = &s->event[i];
        x0 = v->x < x0 ? v->x : x0;
        y0 = v->y < y0 ? v->y : y0;
        x1 = v->x > x1 ? v->x : x1;
        y1 = v->y > y1 ? v->y : y1;
    }
    for (int64_t i = 0; i < s->n; i++) {
        s->event[i].x = (uint16_t)(s->event[i].x - x0);
        s->event[i].y = (uint16_t)(s->event[i].y - y0);
    }
    f->w = s->n ? x1 - x0 + 1 : 1;
    f->h = s->n ? y1 - y0 + 1 : 1;
}

static lt_status reserve_buffers(lti_event_set *e, const lt_frame_spec *f)
{
    const size_t n = (size_t)f->steps * 2 * (size_t)f->w * (size_t)f->h, out = (size_t)e->raw->h * (size_t)e->raw->w;
    if (n > e->n_counts) {
        lti_free(e->counts);
        lti_free(e->plane);
        e->counts = lti_malloc(n * sizeof *e->counts);
        e->plane = lti_malloc(((size_t)f->w * (size_t)f->h + out) * sizeof *e->plane);
        e->n_counts = e->counts && e->plane ? n : 0;
    }
    return e->counts && e->plane ? LT_OK : LTI_NOMEM("frames");
}

// One plane of counts to bytes, resized where the set has another size.
static void store_plane(lti_event_set *e, const lt_frame_spec *f, const uint16_t *counts, uint8_t *x)
{
    const int h = e->raw->h, w = e->raw->w;
    const size_t n = (size_t)f->w * (size_t)f->h, out = (size_t)h * (size_t)w;
    const bool resize = h != f->h || w != f->w;
    float *small = e->plane, *big = e->plane + n;
    for (size_t i = 0; resize && i < n; i++)
        small[i] = counts[i];
    if (resize)
        lt_resize_plane(small, f->h, f->w, big, h, w);
    for (size_t i = 0; i < out; i++) {
        const unsigned v = resize ? (unsigned)(big[i] + 0.5f) : counts[i];
        e->n_clipped += v > 255;
        x[i] = (uint8_t)(v > 255 ? 255 : v);
        e->n_pixels[x[i]]++;
    }
}

lt_status lti_event_set_add(lti_event_set *e, lt_split s, int32_t y, const char *name, lt_event_stream *stream)
{
    lt_frame_spec f = e->frames;
    int64_t lost = 0;
    uint8_t *x;
    if (e->crop)
        crop_stream(stream, &f);
    LT_TRY(reserve_buffers(e, &f));
    if (lt_event_frames(stream, &f, e->counts, &lost) != LT_OK) {
        char why[LT_ERROR_MESSAGE_MAX / 2];
        snprintf(why, sizeof why, "%.400s", lt_error_get()->message);
        return LT_FAIL(LT_E_FORMAT, "%s: %s", name, why);
    }
    LT_TRY(lti_raw_append(e->raw, s, y, &x));
    const size_t plane = (size_t)f.w * (size_t)f.h, out = (size_t)e->raw->h * (size_t)e->raw->w;
    for (int c = 0; c < e->raw->c; c++)
        store_plane(e, &f, e->counts + (size_t)c * plane, x + (size_t)c * out);
    e->n_events += stream->n;
    e->n_lost += lost;
    e->n_markers += stream->n_markers;
    return LT_OK;
}

// The count that a share of the pixels with events does not pass; share 1: the largest count.
static int count_quantile(const lti_event_set *e, double share)
{
    int64_t all = 0, below = 0;
    for (int v = 1; v < 256; v++)
        all += e->n_pixels[v];
    for (int v = 1; v < 256; v++) {
        below += e->n_pixels[v];
        if (all > 0 && (double)below >= share * (double)all)
            return v;
    }
    return 0;
}

void lti_event_set_report(const lti_event_set *e)
{
    lt_info(e->args->events, "data.events",
            "%s: %lld events in frames, %lld in none; pixels with events have 1 to %d of them, 99 %% at most %d; %lld "
            "counts cut off at 255",
            e->args->kind, (long long)(e->n_events - e->n_lost), (long long)e->n_lost, count_quantile(e, 1),
            count_quantile(e, 0.99), (long long)e->n_clipped);
    if (e->n_markers)
        lt_warn(e->args->events, "data.overflow", "%s: %lld overflow markers; each adds 2^13 us to what follows",
                e->args->kind, (long long)e->n_markers);
}

static lt_status add_file(lti_event_set *e, lt_split s, int32_t y, const char *path)
{
    lt_event_stream stream;
    LT_TRY(lt_event_stream_open(path, e->kind->format, &stream));
    lt_status status = lti_event_set_add(e, s, y, path, &stream);
    lt_event_stream_clear(&stream);
    return status;
}

// ---- N-MNIST: Train/DIGIT/*.bin, Test/DIGIT/*.bin

static lt_status read_digits(lti_event_set *e, lt_split s, const char *dir)
{
    lt_status status = LT_OK;
    for (int32_t y = 0; y < e->raw->n_classes && status == LT_OK; y++) {
        char digit[16];
        lti_paths names;
        snprintf(digit, sizeof digit, "%d", (int)y);
        const char *folder = lti_join(&e->raw->arena, dir, digit);
        if (!folder)
            return LTI_NOMEM("file names");
        if (!lti_is_dir(folder))
            continue; // a sample of the set need not have every digit
        LT_TRY(lti_list_dir(e->args, folder, &names));
        for (int64_t i = 0; i < names.n && status == LT_OK; i++) {
            const char *path = lti_join(&names.arena, folder, names.name[i]);
            status = path ? add_file(e, s, y, path) : LTI_NOMEM("file names");
        }
        lti_paths_clear(&names);
    }
    return status;
}

lt_status lti_open_n_mnist(const lti_open_args *args, lti_raw *raw)
{
    static const lti_event_kind kind = {.format = "bin", .w = 34, .h = 34};
    static const char *const folder[2] = {"Train", "Test"};
    static const char *const missing[2] = {"the folder Train is missing", "the folder Test is missing"};
    lti_event_set e;
    lt_status status = LT_OK;
    LT_TRY(lti_event_set_init(&e, args, &kind, raw));
    raw->n_classes = 10;
    for (int s = 0; s < 2 && status == LT_OK; s++) {
        const char *dir = lti_join(&raw->arena, args->path, folder[s]);
        if (!dir)
            status = LTI_NOMEM("file names");
        else if (!lti_is_dir(dir))
            raw->missing[s] = missing[s];
        else if (s == LT_TRAIN || !args->skip_test)
            status = read_digits(&e, (lt_split)s, dir);
    }
    if (status == LT_OK)
        lti_event_set_report(&e);
    lti_event_set_clear(&e);
    return status;
}

// ---- class folders without an official split

static lt_status read_listed(lti_event_set *e, const lti_event_list *list)
{
    for (int64_t i = 0; i < list->n; i++) {
        const lti_event_item *item = &list->item[i];
        if (item->split == LT_TEST && e->args->skip_test && e->raw->split[LT_TRAIN].n > 0)
            continue;
        LT_TRY(add_file(e, item->split, item->y, item->path));
    }
    return LT_OK;
}

static lt_status open_folders(const lti_open_args *args, const lti_event_kind *kind, lti_raw *raw)
{
    lti_event_set e;
    lti_event_list list = {0};
    lt_status status = LT_OK;
    LT_TRY(lti_event_set_init(&e, args, kind, raw));
    LT_TRY_GOTO(lti_event_list_open(args, raw, &list), done);
    LT_TRY_GOTO(read_listed(&e, &list), done);
    lt_info(args->events, "data.split", "%s: split of %lld files, digest %.16s", args->kind, (long long)list.n,
            list.digest);
    lti_event_set_report(&e);
done:
    lti_event_list_clear(&list);
    lti_event_set_clear(&e);
    return status;
}

lt_status lti_open_n_caltech101(const lti_open_args *args, lti_raw *raw)
{
    static const lti_event_kind kind = {.format = "bin", .w = 240, .h = 180, .size = 128, .flip = true};
    return open_folders(args, &kind, raw);
}

lt_status lti_open_cifar10_dvs(const lti_open_args *args, lti_raw *raw)
{
    static const lti_event_kind kind = {.format = "aedat2-cifar10-dvs", .w = 128, .h = 128, .flip = true};
    return open_folders(args, &kind, raw);
}

// Any format, by the files' first bytes; the sensor is that of a DAVIS346 unless the key says otherwise.
lt_status lti_open_events(const lti_open_args *args, lti_raw *raw)
{
    lti_event_kind kind = {.format = "auto", .flip = false};
    int64_t w, h;
    LT_TRY(lti_key_i64(args->spec, "sensor-width", 1, LTI_MAX_SIDE, 346, &w));
    LT_TRY(lti_key_i64(args->spec, "sensor-height", 1, LTI_MAX_SIDE, 260, &h));
    kind.w = (int)w;
    kind.h = (int)h;
    return open_folders(args, &kind, raw);
}

// ---- moving glyphs: sample i of a split follows from seed, split and i

lt_status lti_open_moving_glyphs(const lti_open_args *args, lti_raw *raw)
{
    lti_event_set e;
    lti_event_kind kind = {.format = "none"};
    int64_t n[2], seed, side, duration, noise;
    LT_TRY(lti_key_i64(args->spec, "train", 1, 10000000, 1000, &n[LT_TRAIN]));
    LT_TRY(lti_key_i64(args->spec, "test", 1, 10000000, 500, &n[LT_TEST]));
    LT_TRY(lti_key_i64(args->spec, "seed", 0, INT64_MAX, 0, &seed));
    LT_TRY(lti_key_i64(args->spec, "side", 8, 512, 20, &side));
    LT_TRY(lti_key_i64(args->spec, "duration-us", 1000, 10000000, 100000, &duration));
    LT_TRY(lti_key_i64(args->spec, "noise-hz", 0, 1000, 5, &noise));
    kind.w = kind.h = (int)side;
    LT_TRY(lti_event_set_init(&e, args, &kind, raw));
    raw->n_classes = 10;
    lt_status status = LT_OK;
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < n[s] && status == LT_OK; i++) {
            const int64_t index = i * 2 + s;
            lt_rng rng = lt_rng_at((uint64_t)seed, LT_STREAM_EVENTS, 1, (uint64_t)index);
            const lt_glyph_spec g = {.seed = (uint64_t)seed,
                                     .index = index,
                                     .label = (int32_t)lt_rng_below(&rng, 10),
                                     .side = (int)side,
                                     .duration_us = duration,
                                     .threshold = 0.4,
                                     .noise_hz = (double)noise};
            lt_event_stream stream;
            status = lt_glyph_events(&g, &stream);
            if (status == LT_OK)
                status = lti_event_set_add(&e, (lt_split)s, g.label, "glyph", &stream);
            lt_event_stream_clear(&stream);
        }
    if (status == LT_OK)
        lti_event_set_report(&e);
    lti_event_set_clear(&e);
    return status;
}
