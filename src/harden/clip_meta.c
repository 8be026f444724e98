// clip_meta.c - spectral clipping as part of a recipe: as text, and in the metadata of the model that it made.
#include "base/base.h"
#include "lethe/clip.h"
#include <stdlib.h>
#include <string.h>

static const char key[] = "lethe.clip";

bool lt_clip_is_on(const lt_clip_cfg *c)
{
    return c->clip_norm > 0 || c->clip_linear > 0 || c->clip_bn > 0 || c->clip_compose > 0;
}

static void add_rows(lti_buf *b, const lt_option *rows, const lt_clip_cfg *cfg)
{
    char number[LT_OPTION_TEXT_MAX];
    for (const lt_option *o = rows; o->name; o++) {
        const char *text = lt_option_text(o, cfg, number);
        lti_buf_puts(b, b->n > 1 ? "," : "");
        lti_buf_json_string(b, o->name);
        lti_buf_puts(b, ":");
        lti_buf_json_string(b, text ? text : "");
    }
}

char *lt_clip_json(const lt_clip_cfg *cfg)
{
    lti_buf b = {0};
    lti_buf_puts(&b, "{");
    if (lt_clip_is_on(cfg)) {
        add_rows(&b, lt_clip_norm_options, cfg);
        add_rows(&b, lt_clip_rule_options, cfg);
    }
    lti_buf_puts(&b, "}");
    return lti_buf_take(&b);
}

// A model that was fine-tuned without clipping must not keep the entry of the one that it started from.
lt_status lt_clip_set_meta(lt_model *model, const lt_clip_cfg *cfg)
{
    bool has_entry = false;
    for (int i = 0; i < model->n_meta; i++)
        has_entry |= !strcmp(model->meta[i].key, key);
    if (!lt_clip_is_on(cfg) && !has_entry)
        return LT_OK;
    char *text = lt_clip_json(cfg);
    const lt_status status = text ? lt_model_set_meta(model, key, text) : LTI_NOMEM("recipe");
    free(text);
    return status;
}
