// progress.c - events of the library as one line on a terminal, or as a plain line now and then.
//
// On a terminal a phase that lasts gets one line, redrawn at most ten times a second and erased when it ends. Elsewhere
// (a log file, a pipe) a full line appears every few seconds, so that logs stay short. Everything goes to stderr.
//
// An evaluation inside a training keeps the training's line: its time belongs to the remaining time that is shown.
// What does not fit the width is dropped by priority: the bar first, the remaining time last.
#include "cli.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const double DELAY_S = 0.4, REDRAW_S = 0.1, PLAIN_S = 5.0;

typedef struct stream { // progress events of one name
    char name[64];      // "" = none
    double start_s;
    int64_t done0, done, total; // done0: where this process began, a resumed job does not start at 0
} stream;

typedef struct part { // of a job of several steps: the shares of it that have passed before and after this step
    double from, to, reached, start_s;
} part;

struct cli_progress {
    bool tty, quiet, verbose, drawn;
    char stage[160]; // what the verb says it is doing
    double last_s;   // when a line was shown
    stream main, eval;
    part job;
    char unit[24], fields[160]; // of the main stream
};

bool cli_color(FILE *f)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return !(no_color && *no_color) && isatty(fileno(f)) && term && strcmp(term, "dumb") != 0;
}

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        return size.ws_col;
    return 80;
}

void cli_progress_clear(struct cli_progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}

void cli_progress_stage(struct cli_progress *p, const char *fmt, ...)
{
    va_list args;
    cli_progress_clear(p);
    va_start(args, fmt);
    vsnprintf(p->stage, sizeof p->stage, fmt, args);
    va_end(args);
    p->main.name[0] = p->eval.name[0] = '\0';
}

void cli_progress_part(struct cli_progress *p, double from, double to)
{
    if (p->job.to <= 0)
        p->job.start_s = cli_now_s();
    p->job.from = from;
    p->job.to = to;
    p->job.reached = from > p->job.reached ? from : p->job.reached;
}

void cli_say(cli_session *s, const char *fmt, ...)
{
    char text[2048];
    if (s->progress->quiet)
        return;
    cli_progress_clear(s->progress);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cli_keep_printable(text);
    fprintf(stderr, "%s\n", text);
}

static void format_time(double seconds, char out[24])
{
    int64_t s = seconds < 0 ? 0 : seconds > 3e7 ? 30000000 : (int64_t)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, 24, "%d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
    else
        snprintf(out, 24, "%d:%02d", (int)(s / 60), (int)(s % 60));
}

// "  acc 56.1 %  loss 1.234" from the fields of the event, the most telling first.
static void format_fields(const lt_event *e, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < e->n_fields && n < size; i++) {
            const char *key = e->fields[i].key;
            const double v = e->fields[i].value;
            const size_t length = strlen(key);
            const bool acc = !strcmp(key, "acc") || (length > 4 && !strcmp(key + length - 4, "_acc"));
            if (!strcmp(key, "lr") || !strcmp(key, "images_per_s") || !strcmp(key, "samples_per_s") ||
                acc != (pass == 0))
                continue; // the rate is shown already
            if (acc)
                n += (size_t)snprintf(out + n, size - n, "  %s %.1f %%", key, 100 * v);
            else
                n += (size_t)snprintf(out + n, size - n, "  %s %.4g", key, v);
        }
}

static bool is_eval(const char *name)
{
    return strncmp(name, "eval", 4) == 0;
}

static double share_of(const stream *s)
{
    const double share = s->total > 0 ? (double)s->done / (double)s->total : 0;
    return share > 1 ? 1 : share;
}

static void format_label(const struct cli_progress *p, const stream *s, char *out, size_t size)
{
    if (p->eval.name[0] && p->stage[0])
        snprintf(out, size, "%s, evaluating", p->stage);
    else if (p->eval.name[0])
        snprintf(out, size, "evaluating");
    else
        snprintf(out, size, "%.*s", p->stage[0] ? 159 : (int)strcspn(s->name, "."), p->stage[0] ? p->stage : s->name);
}

// Remaining time: of the whole job where its parts are known, else of this stream.
static void format_eta(struct cli_progress *p, const stream *s, double now, char out[24])
{
    const double rate = now > s->start_s ? (double)(s->done - s->done0) / (now - s->start_s) : 0;
    snprintf(out, 24, "-:--");
    if (p->job.to > 0) {
        const double reached = p->job.from + (p->job.to - p->job.from) * share_of(s);
        p->job.reached = reached > p->job.reached ? reached : p->job.reached;
        if (p->job.reached > 0)
            format_time((now - p->job.start_s) * (1 - p->job.reached) / p->job.reached, out);
    } else if (rate > 0 && s->total > 0) {
        format_time((double)(s->total - s->done) / rate, out);
    }
}

enum { LINE_SIZE = 480 };

// label, percent, bar, rate, remaining time, numbers: the longest form that fits; width 0 = any length.
static void format_line(struct cli_progress *p, const stream *s, double now, int width, char out[LINE_SIZE])
{
    enum { BAR = 20, N_FORMS = 6 };
    static const struct {
        int bar;
        bool rate;
        int fields; // 0 none, 1 the first, 2 all
    } form[N_FORMS] = {{BAR, true, 2}, {BAR / 2, true, 2}, {0, true, 2}, {0, false, 2}, {0, false, 1}, {0, false, 0}};
    char label[200], eta[24], bar[BAR + 4], rate_text[64];
    const double rate = now > s->start_s ? (double)(s->done - s->done0) / (now - s->start_s) : 0;
    format_label(p, s, label, sizeof label);
    format_eta(p, s, now, eta);
    const char *second = *p->fields ? strstr(p->fields + 1, "  ") : NULL;
    const int first_field = second ? (int)(second - p->fields) : (int)strlen(p->fields);
    for (int i = 0; i < N_FORMS; i++) {
        const int n_fields = form[i].fields == 2 ? (int)strlen(p->fields) : form[i].fields ? first_field : 0;
        int n_label = (int)strlen(label), n = 0;
        for (int k = 0; k < form[i].bar; k++)
            bar[n++] = k < (int)(share_of(s) * form[i].bar + 0.5) ? '#' : '.';
        bar[n] = '\0';
        snprintf(rate_text, sizeof rate_text, "  %.*f %s/s", rate < 10 ? 1 : 0, rate, p->unit);
        const bool known = s->total > 0;
        for (int again = 0; again < 2; again++) {
            int length;
            if (known)
                length =
                    snprintf(out, LINE_SIZE, "%.*s %3.0f %%%s%s%s%s  ETA %s%.*s", n_label, label, 100 * share_of(s),
                             n ? " [" : "", bar, n ? "]" : "", form[i].rate ? rate_text : "", eta, n_fields, p->fields);
            else
                length = snprintf(out, LINE_SIZE, "%.*s %lld %s%s%.*s", n_label, label, (long long)s->done, p->unit,
                                  form[i].rate ? rate_text : "", n_fields, p->fields);
            if (width < 2 || length < width)
                return;
            if (i + 1 < N_FORMS)
                break;
            n_label = n_label > length - width + 1 ? n_label - (length - width + 1) : 0; // a shorter name at last
        }
    }
    out[width > 1 ? width - 1 : 0] = '\0';
}

static void show(struct cli_progress *p, const stream *s, double now)
{
    char line[LINE_SIZE];
    if (p->tty && now - s->start_s >= DELAY_S && now - p->last_s >= REDRAW_S) {
        format_line(p, s, now, terminal_width(), line);
        fprintf(stderr, "\r\033[K%s", line);
        p->drawn = true;
        p->last_s = now;
    } else if (!p->tty && now - p->last_s >= PLAIN_S) {
        format_line(p, s, now, 0, line);
        fprintf(stderr, "%s\n", line);
        p->last_s = now;
    }
}

static void on_progress(struct cli_progress *p, const lt_event *e)
{
    const double now = cli_now_s();
    if (!strcmp(e->name, "job.part")) {
        if (e->total > 0)
            cli_progress_part(p, (double)e->done / (double)e->total, (double)(e->done + 1) / (double)e->total);
        return;
    }
    const bool eval = is_eval(e->name), nested = eval && p->main.name[0];
    stream *s = eval ? &p->eval : &p->main;
    if (strcmp(s->name, e->name) != 0 || e->done < s->done) {
        if (!nested) {
            cli_progress_clear(p);
            p->last_s = now;
        }
        *s = (stream){.start_s = now, .done0 = e->done};
        snprintf(s->name, sizeof s->name, "%s", e->name);
    }
    s->done = e->done;
    s->total = e->total;
    if (!eval)
        p->eval.name[0] = '\0';
    if (!nested) {
        snprintf(p->unit, sizeof p->unit, "%s", e->unit ? e->unit : "");
        format_fields(e, p->fields, sizeof p->fields);
    }
    if (e->total > 0 && e->done >= e->total) {
        s->name[0] = '\0';
        if (!nested)
            cli_progress_clear(p);
    } else {
        show(p, nested ? &p->main : s, now);
    }
}

static void emit(void *self, const lt_event *e)
{
    struct cli_progress *p = self;
    if (p->quiet)
        return;
    char fields[160];
    switch (e->kind) {
    case LT_EV_PROGRESS:
        on_progress(p, e);
        break;
    case LT_EV_WARNING:
        cli_progress_clear(p);
        fprintf(stderr, "lethe: warning: %s\n", e->text ? e->text : e->name);
        break;
    case LT_EV_NOTE:
        cli_progress_clear(p);
        fprintf(stderr, "%s\n", e->text ? e->text : e->name);
        break;
    case LT_EV_INFO:
        if (p->verbose) {
            cli_progress_clear(p);
            fprintf(stderr, "%s: %s\n", e->name, e->text ? e->text : "");
        }
        break;
    case LT_EV_BEGIN:
        if (e->text)
            cli_progress_stage(p, "%s", e->text);
        break;
    case LT_EV_METRIC:
        if (p->verbose) {
            cli_progress_clear(p);
            format_fields(e, fields, sizeof fields);
            fprintf(stderr, "%s %lld:%s\n", e->name, (long long)e->epoch, fields);
        }
        break;
    default:
        break;
    }
}

void cli_progress_config(struct cli_progress *p, bool quiet, bool verbose)
{
    p->quiet = quiet;
    p->verbose = verbose;
}

struct cli_progress *cli_progress_create(lt_events *events)
{
    struct cli_progress *p = cli_alloc(1, sizeof *p);
    const char *term = getenv("TERM");
    p->tty = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    if (lt_events_add(events, (lt_sink){.emit = emit, .self = p}) != LT_OK) {
        free(p);
        return NULL;
    }
    return p;
}

void cli_progress_destroy(struct cli_progress *p)
{
    if (p)
        cli_progress_clear(p);
    free(p);
}
