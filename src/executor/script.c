// script.c - what scripts that start workers have in common.
#include "executor/executor_impl.h"

// In single quotes, which end and begin again around a quote.
void lti_script_quote(lti_buf *b, const char *text)
{
    lti_buf_puts(b, "'");
    for (; *text; text++)
        if (*text == '\'')
            lti_buf_puts(b, "'\\''");
        else
            lti_buf_add(b, text, 1);
    lti_buf_puts(b, "'");
}

void lti_script_setting(lti_buf *b, const lt_worker_script *s)
{
    for (const char *const *e = s->env; e && e[0]; e += 2) {
        lti_buf_printf(b, "export %s=", e[0]);
        lti_script_quote(b, e[1]);
        lti_buf_puts(b, "\n");
    }
    lti_buf_puts(b, "cd ");
    lti_script_quote(b, s->dir);
    lti_buf_puts(b, " || exit\n");
}

void lti_script_command(lti_buf *b, const lt_worker_script *s)
{
    lti_script_quote(b, s->program);
    for (const char *const *arg = s->args; *arg; arg++) {
        lti_buf_puts(b, " ");
        lti_script_quote(b, *arg);
    }
    lti_buf_puts(b, "\n");
}
