// progress.c - events of the library as one line on a terminal, or as a plain line now and then.
//
// On a terminal a phase that lasts gets one bar, redrawn at most ten times a second and erased when it ends. Elsewhere
// (a log file, a pipe) a full line appears every few seconds, so that logs stay short. Everything goes to stderr.
#include "cli.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const double DELAY_S = 0.4, REDRAW_S = 0.1, PLAIN_S = 5.0;

struct cli_progress {
    bool tty, quiet, verbose, drawn;
    char stage[160]; // what the verb says it is doing
    char name[64];   // of the event stream shown now
    double start_s, last_s;
    int64_t done0, last_done; // where this process began: a resumed job does not start at 0
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
    p->name[0] = '\0';
}

void cli_say(cli_session *s, const char *fmt, ...)
{
    if (s->progress->quiet)
        return;
    cli_progress_clear(s->progress);
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

static void format_time(double seconds, char out[24])
{
    int64_t s = seconds < 0 ? 0 : seconds > 3e7 ? 30000000 : (int64_t)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, 24, "%d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
    else
        snprintf(out, 24, "%d:%02d", (int)(s / 60), (int)(s % 60));
}

// "loss 1.234  acc 56.1 %" from the fields of the event.
static void format_fields(const lt_event *e, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < e->n_fields && n < size; i++) {
        const char *key = e->fields[i].key;
        double v = e->fields[i].value;
        size_t length = strlen(key);
        if (!strcmp(key, "lr") || !strcmp(key, "images_per_s") || !strcmp(key, "samples_per_s"))
            continue; // the rate is shown already
        if (!strcmp(key, "acc") || (length > 4 && !strcmp(key + length - 4, "_acc")))
            n += (size_t)snprintf(out + n, size - n, "  %s %.1f %%", key, 100 * v);
        else
            n += (size_t)snprintf(out + n, size - n, "  %s %.4g", key, v);
    }
}

static const char *label_of(const struct cli_progress *p, const lt_event *e, char out[64])
{
    size_t n = strcspn(e->name, ".");
    if (p->stage[0] && strncmp(e->name, "eval", 4) != 0)
        return p->stage;
    snprintf(out, 64, "%.*s", (int)(n < 40 ? n : 40), strncmp(e->name, "eval", 4) ? e->name : "evaluating");
    return out;
}

// percent, bar, rate, remaining time, numbers.
static void format_line(const struct cli_progress *p, const lt_event *e, double now, int width, char *out, size_t size)
{
    enum { BAR = 20 };
    char label[64], eta[24] = "-:--", fields[160], bar[BAR + 1];
    double share = e->total > 0 ? (double)e->done / (double)e->total : 0, elapsed = now - p->start_s;
    double rate = elapsed > 0 ? (double)(e->done - p->done0) / elapsed : 0;
    share = share > 1 ? 1 : share;
    if (rate > 0 && e->total > 0)
        format_time((double)(e->total - e->done) / rate, eta);
    format_fields(e, fields, sizeof fields);
    for (int i = 0; i < BAR; i++)
        bar[i] = i < (int)(share * BAR + 0.5) ? '#' : '.';
    bar[BAR] = '\0';
    const char *unit = e->unit ? e->unit : "";
    if (e->total > 0)
        snprintf(out, size, "%s %3.0f %% [%s] %.*f %s/s  ETA %s%s", label_of(p, e, label), 100 * share, bar,
                 rate < 10 ? 1 : 0, rate, unit, eta, fields);
    else
        snprintf(out, size, "%s %lld %s, %.0f/s%s", label_of(p, e, label), (long long)e->done, unit, rate, fields);
    if (width > 1 && strlen(out) >= (size_t)width)
        out[width - 1] = '\0';
}

static void on_progress(struct cli_progress *p, const lt_event *e)
{
    double now = cli_now_s();
    if (strcmp(p->name, e->name) != 0 || e->done < p->last_done) {
        cli_progress_clear(p);
        snprintf(p->name, sizeof p->name, "%s", e->name);
        p->start_s = p->last_s = now;
        p->done0 = e->done;
    }
    p->last_done = e->done;
    char line[400];
    if (e->total > 0 && e->done >= e->total) {
        cli_progress_clear(p);
    } else if (p->tty && now - p->start_s >= DELAY_S && now - p->last_s >= REDRAW_S) {
        format_line(p, e, now, terminal_width(), line, sizeof line);
        fprintf(stderr, "\r\033[K%s", line);
        p->drawn = true;
        p->last_s = now;
    } else if (!p->tty && now - p->last_s >= PLAIN_S) {
        format_line(p, e, now, 0, line, sizeof line);
        fprintf(stderr, "%s\n", line);
        p->last_s = now;
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
    case LT_EV_INFO:
        if (p->verbose) {
            cli_progress_clear(p);
            fprintf(stderr, "%s: %s\n", e->name, e->text ? e->text : "");
        }
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
