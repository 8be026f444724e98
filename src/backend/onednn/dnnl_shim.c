// dnnl_shim.c - the one file that knows both generations of the oneDNN C API.
//
// A backward descriptor needs a forward one as a hint. It is made here with the same algorithm and free layouts
// and drop it afterwards: the layouts of the backward pass are given by the caller, never taken from the hint.
#include "backend/onednn/dnnl_shim.h"
#include "base/base.h"
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 96 };

// Is this another implementation than the last one? Its name becomes the last one. Once a primitive is in oneDNN's
// cache, walking the implementations of 2.6 meets it several times in a row: counted, they would shift all numbers.
static bool is_another(const_dnnl_primitive_desc_t pd, char last[NAME_MAX_BYTES])
{
    const char *name = "";
    if (dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name) != dnnl_success)
        return true;
    const bool other = strcmp(last, name) != 0;
    snprintf(last, NAME_MAX_BYTES, "%s", name);
    return other;
}

lt_status lti_dnnl_check(dnnl_status_t s, const char *what)
{
    if (s == dnnl_success)
        return LT_OK;
    if (s == dnnl_out_of_memory)
        return LTI_NOMEM("oneDNN");
    return LT_FAIL(LT_E_FAIL, "oneDNN: %s returned status %d", what, (int)s);
}

#if DNNL_VERSION_MAJOR < 3

lt_status lti_md_create(int n_dims, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag, lti_md *md)
{
    dnnl_memory_desc_t *m = lti_malloc(sizeof *m);
    if (!m)
        return LTI_NOMEM("memory descriptor");
    dnnl_status_t s = dnnl_memory_desc_init_by_tag(m, n_dims, dims, type, tag);
    if (s != dnnl_success) {
        lti_free(m);
        return lti_dnnl_check(s, "dnnl_memory_desc_init_by_tag");
    }
    *md = m;
    return LT_OK;
}

void lti_md_destroy(lti_md md)
{
    union {
        lti_md borrowed;
        void *owned;
    } u = {md};
    lti_free(u.owned);
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
}

static dnnl_status_t conv_desc(const lti_conv_spec *s, lti_conv_pass pass, dnnl_convolution_desc_t *d)
{
    dnnl_alg_kind_t alg = s->winograd ? dnnl_convolution_winograd : dnnl_convolution_direct;
    dnnl_dims_t stride = {s->stride, s->stride}, pad = {s->pad, s->pad}, skip = {s->dilation - 1, s->dilation - 1};
    switch (pass) {
    case LTI_CONV_DX:
        return dnnl_dilated_convolution_backward_data_desc_init(d, alg, s->x, s->w, s->y, stride, skip, pad, pad);
    case LTI_CONV_DW:
        return dnnl_dilated_convolution_backward_weights_desc_init(d, alg, s->x, s->w, NULL, s->y, stride, skip, pad,
                                                                   pad);
    case LTI_CONV_FWD:
        break;
    }
    dnnl_prop_kind_t kind = s->inference ? dnnl_forward_inference : dnnl_forward_training;
    const bool hint = s->pass != LTI_CONV_FWD;
    return dnnl_dilated_convolution_forward_desc_init(d, kind, alg, hint ? s->hint_x : s->x, hint ? s->hint_w : s->w,
                                                      s->b, hint ? s->hint_y : s->y, stride, skip, pad, pad);
}

// NULL in *pd when there is no such implementation.
static dnnl_status_t select_algorithm(dnnl_engine_t engine, const dnnl_convolution_desc_t *d,
                                      const_dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint, int index,
                                      dnnl_primitive_desc_t *pd)
{
    dnnl_primitive_desc_iterator_t it = NULL;
    dnnl_status_t s = dnnl_primitive_desc_iterator_create(&it, d, attr, engine, hint);
    if (s == dnnl_unimplemented || s == dnnl_iterator_ends)
        return dnnl_success;
    char last[NAME_MAX_BYTES] = "";
    for (int i = -1; s == dnnl_success && !*pd;) {
        dnnl_primitive_desc_t here = dnnl_primitive_desc_iterator_fetch(it);
        i += here && is_another(here, last);
        if (here && i == index)
            *pd = here;
        else if (here)
            dnnl_primitive_desc_destroy(here);
        if (!*pd)
            s = dnnl_primitive_desc_iterator_next(it);
    }
    dnnl_primitive_desc_iterator_destroy(it);
    return s == dnnl_iterator_ends ? dnnl_success : s;
}

static dnnl_status_t conv_pd(dnnl_engine_t engine, const lti_conv_spec *spec, const_dnnl_primitive_attr_t attr,
                             int index, dnnl_primitive_desc_t *pd)
{
    dnnl_convolution_desc_t d;
    dnnl_status_t s;
    dnnl_primitive_desc_t hint = NULL;
    if (spec->pass != LTI_CONV_FWD) {
        if ((s = conv_desc(spec, LTI_CONV_FWD, &d)) != dnnl_success ||
            (s = select_algorithm(engine, &d, NULL, NULL, 0, &hint)) != dnnl_success || !hint)
            return s;
    }
    if ((s = conv_desc(spec, spec->pass, &d)) == dnnl_success)
        s = select_algorithm(engine, &d, attr, hint, index, pd);
    dnnl_primitive_desc_destroy(hint);
    return s;
}

#else // 3.x

lt_status lti_md_create(int n_dims, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag, lti_md *md)
{
    dnnl_memory_desc_t m = NULL;
    LT_TRY_DNNL(dnnl_memory_desc_create_with_tag(&m, n_dims, dims, type, tag));
    *md = m;
    return LT_OK;
}

void lti_md_destroy(lti_md md)
{
    union {
        lti_md borrowed;
        dnnl_memory_desc_t owned;
    } u = {md};
    if (md)
        dnnl_memory_desc_destroy(u.owned);
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0f, 0.0f);
}

static dnnl_status_t create(dnnl_engine_t engine, const lti_conv_spec *s, lti_conv_pass pass,
                            const_dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint,
                            dnnl_primitive_desc_t *pd)
{
    dnnl_alg_kind_t alg = s->winograd ? dnnl_convolution_winograd : dnnl_convolution_direct;
    const dnnl_dims_t stride = {s->stride, s->stride}, pad = {s->pad, s->pad},
                      skip = {s->dilation - 1, s->dilation - 1};
    switch (pass) {
    case LTI_CONV_DX:
        return dnnl_convolution_backward_data_primitive_desc_create(pd, engine, alg, s->x, s->w, s->y, stride, skip,
                                                                    pad, pad, hint, attr);
    case LTI_CONV_DW:
        return dnnl_convolution_backward_weights_primitive_desc_create(pd, engine, alg, s->x, s->w, NULL, s->y, stride,
                                                                       skip, pad, pad, hint, attr);
    case LTI_CONV_FWD:
        break;
    }
    dnnl_prop_kind_t kind = s->inference ? dnnl_forward_inference : dnnl_forward_training;
    const bool is_hint = s->pass != LTI_CONV_FWD;
    return dnnl_convolution_forward_primitive_desc_create(pd, engine, kind, alg, is_hint ? s->hint_x : s->x,
                                                          is_hint ? s->hint_w : s->w, s->b, is_hint ? s->hint_y : s->y,
                                                          stride, skip, pad, pad, attr);
}

static dnnl_status_t conv_pd(dnnl_engine_t engine, const lti_conv_spec *spec, const_dnnl_primitive_attr_t attr,
                             int index, dnnl_primitive_desc_t *pd)
{
    dnnl_status_t s;
    dnnl_primitive_desc_t hint = NULL;
    if (spec->pass != LTI_CONV_FWD) {
        s = create(engine, spec, LTI_CONV_FWD, NULL, NULL, &hint);
        if (s != dnnl_success)
            return s == dnnl_unimplemented ? dnnl_success : s;
    }
    s = create(engine, spec, spec->pass, attr, hint, pd);
    char last[NAME_MAX_BYTES] = "";
    if (s == dnnl_success)
        is_another(*pd, last);
    for (int i = 0; i < index && s == dnnl_success;) {
        s = dnnl_primitive_desc_next_impl(*pd);
        i += s == dnnl_success && is_another(*pd, last);
    }
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (s == dnnl_success)
        return s;
    if (*pd)
        dnnl_primitive_desc_destroy(*pd);
    *pd = NULL;
    return s == dnnl_unimplemented || s == dnnl_last_impl_reached ? dnnl_success : s;
}

#endif

static lt_status make_attr(const lti_conv_spec *spec, dnnl_primitive_attr_t *attr)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t s = dnnl_primitive_attr_create(attr);
    if (s == dnnl_success)
        s = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (s == dnnl_success && spec->relu && spec->pass == LTI_CONV_FWD) {
        s = dnnl_post_ops_create(&ops);
        if (s == dnnl_success)
            s = append_relu(ops);
        if (s == dnnl_success)
            s = dnnl_primitive_attr_set_post_ops(*attr, ops);
        if (ops)
            dnnl_post_ops_destroy(ops);
    }
    return lti_dnnl_check(s, "primitive attributes");
}

lt_status lti_dnnl_conv_pd(dnnl_engine_t engine, const lti_conv_spec *spec, int index, dnnl_primitive_desc_t *pd)
{
    dnnl_primitive_attr_t attr = NULL;
    *pd = NULL;
    lt_status status = make_attr(spec, &attr);
    if (status == LT_OK) {
        dnnl_status_t s = conv_pd(engine, spec, attr, index, pd);
        // "invalid arguments" is how some versions report that an algorithm does not support a shape.
        if (s != dnnl_success && s != dnnl_invalid_arguments)
            status = lti_dnnl_check(s, "convolution descriptor");
    }
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

lt_status lti_dnnl_reorder_pd(dnnl_engine_t engine, lti_md from, lti_md to, dnnl_primitive_desc_t *pd)
{
    return lti_dnnl_check(dnnl_reorder_primitive_desc_create(pd, from, engine, to, engine, NULL), "reorder descriptor");
}
