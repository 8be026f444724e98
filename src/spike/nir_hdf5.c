// nir_hdf5.c - NIR graphs as HDF5: group node with nodes/NAME (type and parameters), edges (n,2) of names; version.
#include "spike/nir.h"

#ifdef LETHE_HAVE_HDF5
#include <hdf5.h>
#include <stdio.h>
#include <string.h>

bool lt_nir_available(void)
{
    return true;
}

static lt_status hdf5_failed(const char *path, const char *what)
{
    return LT_FAIL(LT_E_IO, "%s: HDF5: %s", path, what);
}

// ---- writing. A failed call leaves a negative number behind; all are checked together.

static int put_array(hid_t group, const char *name, int n_dims, const hsize_t *dim, hid_t type, const void *data)
{
    const hid_t space = n_dims ? H5Screate_simple(n_dims, dim, NULL) : H5Screate(H5S_SCALAR);
    const hid_t set = H5Dcreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    const int failed = space < 0 || set < 0 || H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0;
    if (set >= 0)
        H5Dclose(set);
    if (space >= 0)
        H5Sclose(space);
    return failed;
}

static int put_text(hid_t group, const char *name, const char *text)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    int failed = type < 0 || H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
                 put_array(group, name, 0, NULL, type, &text);
    if (type >= 0)
        H5Tclose(type);
    return failed;
}

static int put_ints(hid_t group, const char *name, int n, const int64_t *v) // n 0: a scalar
{
    const hsize_t dim = (hsize_t)n;
    return put_array(group, name, n ? 1 : 0, &dim, H5T_NATIVE_INT64, v);
}

static int put_pair(hid_t group, const char *name, const int32_t v[2])
{
    return put_ints(group, name, 2, (const int64_t[]){v[0], v[1]});
}

static int put_floats(hid_t group, const char *name, const lt_shape *s, const float *v)
{
    hsize_t dim[LT_MAX_DIMS];
    for (int i = 0; i < s->n_dims; i++)
        dim[i] = (hsize_t)s->dim[i];
    return put_array(group, name, s->n_dims, dim, H5T_NATIVE_FLOAT, v);
}

// One value for all neurons, as an array of their shape.
static int put_filled(hid_t group, const char *name, const lt_shape *s, double value)
{
    int64_t n = 1;
    for (int i = 0; i < s->n_dims; i++)
        n *= s->dim[i];
    float *v = lti_malloc((size_t)n * sizeof *v);
    for (int64_t i = 0; v && i < n; i++)
        v[i] = (float)value;
    const int failed = !v || put_floats(group, name, s, v);
    lti_free(v);
    return failed;
}

static int write_neuron(hid_t g, const lti_nir_node *n)
{
    int failed = put_filled(g, "r", &n->shape, n->r) || put_filled(g, "v_threshold", &n->shape, n->threshold) ||
                 put_filled(g, "v_reset", &n->shape, n->reset);
    if (!strcmp(n->type, "LIF"))
        failed |= put_filled(g, "tau", &n->shape, n->tau) || put_filled(g, "v_leak", &n->shape, 0);
    const hid_t meta = H5Gcreate2(g, "metadata", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    failed |= meta < 0 || put_text(meta, "lethe.neuron", n->neuron) || put_text(meta, "dt", "1");
    if (meta >= 0)
        H5Gclose(meta);
    return failed;
}

static int write_parameters(hid_t g, const lti_nir_node *n)
{
    int failed = put_text(g, "type", n->type);
    const int64_t groups = n->groups, start = 0, end = -1;
    if (n->weight)
        failed |= put_floats(g, "weight", &n->weight_shape, n->weight) ||
                  put_floats(g, "bias", &(lt_shape){1, {n->weight_shape.dim[0]}}, n->bias);
    if (!strcmp(n->type, "Conv2d"))
        failed |= put_ints(g, "input_shape", 2, &n->shape.dim[1]) || put_pair(g, "stride", n->stride) ||
                  put_pair(g, "padding", n->pad) || put_pair(g, "dilation", n->dilation) ||
                  put_ints(g, "groups", 0, &groups);
    else if (!strcmp(n->type, "AvgPool2d"))
        failed |=
            put_pair(g, "kernel_size", n->kernel) || put_pair(g, "stride", n->stride) || put_pair(g, "padding", n->pad);
    else if (!strcmp(n->type, "Flatten"))
        failed |= put_ints(g, "input_type", n->shape.n_dims, n->shape.dim) || put_ints(g, "start_dim", 0, &start) ||
                  put_ints(g, "end_dim", 0, &end);
    else if (!strcmp(n->type, "Input") || !strcmp(n->type, "Output"))
        failed |= put_ints(g, "shape", n->shape.n_dims, n->shape.dim);
    else if (!n->weight)
        failed |= write_neuron(g, n);
    return failed;
}

static int write_edges(hid_t g, const lti_nir *nir)
{
    const char **name = lti_malloc(2 * (size_t)nir->n_edges * sizeof *name + 1);
    const hid_t type = H5Tcopy(H5T_C_S1);
    const hsize_t dim[2] = {(hsize_t)nir->n_edges, 2};
    for (int e = 0; name && e < nir->n_edges; e++)
        for (int k = 0; k < 2; k++)
            name[2 * e + k] = nir->node[nir->edge[e][k]].name;
    const int failed = !name || type < 0 || H5Tset_size(type, H5T_VARIABLE) < 0 ||
                       H5Tset_cset(type, H5T_CSET_UTF8) < 0 || put_array(g, "edges", 2, dim, type, name);
    if (type >= 0)
        H5Tclose(type);
    lti_free(name);
    return failed;
}

static int write_graph(hid_t file, const lti_nir *nir)
{
    const hid_t root = H5Gcreate2(file, "node", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t nodes = root < 0 ? -1 : H5Gcreate2(root, "nodes", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int failed = nodes < 0 || put_text(file, "version", "1.0") || put_text(root, "type", "NIRGraph");
    for (int i = 0; i < nir->n && !failed; i++) {
        const hid_t g = H5Gcreate2(nodes, nir->node[i].name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        failed = g < 0 || write_parameters(g, &nir->node[i]);
        if (g >= 0)
            H5Gclose(g);
    }
    failed = failed || write_edges(root, nir);
    if (nodes >= 0)
        H5Gclose(nodes);
    if (root >= 0)
        H5Gclose(root);
    return failed;
}

lt_status lti_nir_write(const char *path, const lti_nir *g)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); // failures are ours to report
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (file < 0)
        return hdf5_failed(path, "cannot be created");
    const int failed = write_graph(file, g);
    return H5Fclose(file) < 0 || failed ? hdf5_failed(path, "cannot be written") : LT_OK;
}

// ---- reading

typedef struct source {
    const char *path;
    lti_nir *nir;
    lt_status status;
} source;

// Dimensions of a numeric data set; -1 when it is absent.
static int open_array(hid_t g, const char *name, hid_t *set, hsize_t dim[LT_MAX_DIMS])
{
    *set = H5Lexists(g, name, H5P_DEFAULT) > 0 ? H5Dopen2(g, name, H5P_DEFAULT) : -1;
    if (*set < 0)
        return -1;
    const hid_t space = H5Dget_space(*set);
    int n = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    n = n > LT_MAX_DIMS ? -1 : n;
    if (n > 0)
        H5Sget_simple_extent_dims(space, dim, NULL);
    if (space >= 0)
        H5Sclose(space);
    if (n < 0)
        H5Dclose(*set);
    return n;
}

static lt_status read_floats(const source *s, hid_t g, const char *name, lt_shape *shape, float **out)
{
    hid_t set;
    hsize_t dim[LT_MAX_DIMS] = {0};
    const int n = open_array(g, name, &set, dim);
    size_t count = 1;
    *out = NULL;
    if (n < 0)
        return LT_FAIL(LT_E_FORMAT, "%s: expected numbers called %s, found none", s->path, name);
    *shape = (lt_shape){.n_dims = n};
    lt_status status = LT_OK;
    for (int i = 0; i < n && status == LT_OK; i++) {
        shape->dim[i] = (int64_t)dim[i];
        if (dim[i] < 1 || lti_mul_size(count, (size_t)dim[i], &count) || count > (size_t)1 << 32)
            status = LT_FAIL(LT_E_FORMAT, "%s: %s has no elements, or too many", s->path, name);
    }
    float *v = status == LT_OK ? lti_malloc(count * sizeof *v) : NULL;
    if (status == LT_OK && !v)
        status = LTI_NOMEM(s->path);
    if (status == LT_OK && H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, v) < 0)
        status = LT_FAIL(LT_E_FORMAT, "%s: %s cannot be read as numbers", s->path, name);
    H5Dclose(set);
    if (status != LT_OK)
        lti_free(v);
    else
        *out = v;
    return status;
}

// A parameter that must be the same for all neurons.
static lt_status read_value(const source *s, hid_t g, const char *name, double *value)
{
    lt_shape shape;
    float *v;
    LT_TRY(read_floats(s, g, name, &shape, &v));
    int64_t n = 1;
    bool same = true;
    for (int i = 0; i < shape.n_dims; i++)
        n *= shape.dim[i];
    for (int64_t i = 1; i < n; i++)
        same = same && v[i] == v[0];
    *value = (double)v[0];
    lti_free(v);
    return same ? LT_OK : LT_FAIL(LT_E_UNSUPPORTED, "%s: %s differs between the neurons of a layer", s->path, name);
}

// Text of a scalar, variable or fixed in length.
static int read_text(hid_t g, const char *name, char *out, size_t room)
{
    *out = 0;
    const hid_t set = H5Lexists(g, name, H5P_DEFAULT) > 0 ? H5Dopen2(g, name, H5P_DEFAULT) : -1;
    if (set < 0)
        return 1;
    const hid_t type = H5Dget_type(set);
    int failed = H5Tget_class(type) != H5T_STRING;
    if (!failed && H5Tis_variable_str(type) > 0) {
        char *text = NULL;
        failed = H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &text) < 0 || !text;
        if (!failed)
            snprintf(out, room, "%s", text);
        if (text)
            H5free_memory(text);
    } else if (!failed) {
        const size_t n = H5Tget_size(type);
        char *text = n < 65536 ? lti_calloc(n + 1, 1) : NULL;
        failed = !text || H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0;
        if (!failed)
            snprintf(out, room, "%s", text);
        lti_free(text);
    }
    H5Tclose(type);
    H5Dclose(set);
    return failed;
}

static lt_status read_weights(const source *s, hid_t g, lti_nir_node *n)
{
    lt_shape bias;
    LT_TRY(read_floats(s, g, "weight", &n->weight_shape, &n->weight));
    if (H5Lexists(g, "bias", H5P_DEFAULT) > 0) {
        LT_TRY(read_floats(s, g, "bias", &bias, &n->bias));
        return bias.n_dims == 1 && bias.dim[0] == n->weight_shape.dim[0]
                   ? LT_OK
                   : LT_FAIL(LT_E_FORMAT, "%s: node %s: bias and weight do not fit", s->path, n->name);
    }
    n->bias = lti_calloc((size_t)n->weight_shape.dim[0], sizeof *n->bias);
    return n->bias ? LT_OK : LTI_NOMEM(s->path);
}

static lt_status read_parameters(const source *s, hid_t g, lti_nir_node *n)
{
    if (read_text(g, "type", n->type, sizeof n->type))
        return LT_FAIL(LT_E_FORMAT, "%s: node %s has no type", s->path, n->name);
    if (!strcmp(n->type, "Linear"))
        snprintf(n->type, sizeof n->type, "Affine");
    if (!strcmp(n->type, "Conv2d") || !strcmp(n->type, "Affine"))
        return read_weights(s, g, n);
    if (!strcmp(n->type, "LIF") || !strcmp(n->type, "IF")) {
        LT_TRY(read_value(s, g, "r", &n->r));
        LT_TRY(read_value(s, g, "v_threshold", &n->threshold));
        if (!strcmp(n->type, "LIF"))
            LT_TRY(read_value(s, g, "tau", &n->tau));
        const hid_t meta = H5Lexists(g, "metadata", H5P_DEFAULT) > 0 ? H5Gopen2(g, "metadata", H5P_DEFAULT) : -1;
        if (meta >= 0) {
            read_text(meta, "lethe.neuron", n->neuron, sizeof n->neuron);
            H5Gclose(meta);
        }
        return LT_OK;
    }
    static const char *const plain[] = {"Input", "Output", "Flatten", "AvgPool2d"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!strcmp(n->type, plain[i]))
            return LT_OK;
    return LT_FAIL(LT_E_UNSUPPORTED, "%s: node %s is %s, which no architecture here has", s->path, n->name, n->type);
}

static herr_t visit_node(hid_t group, const char *name, const H5L_info_t *info, void *ctx)
{
    source *s = ctx;
    (void)info;
    if (s->nir->n == LTI_NIR_MAX_NODES || strlen(name) >= LTI_NIR_NAME) {
        s->status = LT_FAIL(LT_E_FORMAT, "%s: too many nodes, or a name that is too long", s->path);
        return -1;
    }
    lti_nir_node *n = &s->nir->node[s->nir->n++];
    snprintf(n->name, sizeof n->name, "%s", name);
    const hid_t g = H5Gopen2(group, name, H5P_DEFAULT);
    s->status = g < 0 ? hdf5_failed(s->path, "a node is no group") : read_parameters(s, g, n);
    if (g >= 0)
        H5Gclose(g);
    return s->status == LT_OK ? 0 : -1;
}

static int32_t find_node(const lti_nir *g, const char *name)
{
    for (int32_t i = 0; i < g->n; i++)
        if (name && !strcmp(g->node[i].name, name))
            return i;
    return -1;
}

static lt_status read_edges(source *s, hid_t root)
{
    hid_t set;
    hsize_t dim[LT_MAX_DIMS] = {0};
    const int n_dims = open_array(root, "edges", &set, dim);
    if (n_dims != 2 || dim[1] != 2 || dim[0] > 1000000) {
        if (n_dims >= 0)
            H5Dclose(set);
        return LT_FAIL(LT_E_FORMAT, "%s: expected edges (n,2), found none", s->path);
    }
    const hid_t type = H5Tcopy(H5T_C_S1);
    char **name = lti_calloc(2 * (size_t)dim[0] + 1, sizeof *name);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    if (!name || H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, name) < 0)
        s->status = LT_FAIL(LT_E_FORMAT, "%s: edges cannot be read as names", s->path);
    for (hsize_t e = 0; e < dim[0] && s->status == LT_OK; e++) {
        const int32_t from = find_node(s->nir, name[2 * e]), to = find_node(s->nir, name[2 * e + 1]);
        s->status = from < 0 || to < 0 ? LT_FAIL(LT_E_FORMAT, "%s: an edge names a node that does not exist", s->path)
                                       : lti_nir_add_edge(s->nir, from, to);
    }
    for (hsize_t i = 0; name && i < 2 * dim[0]; i++)
        if (name[i])
            H5free_memory(name[i]);
    lti_free(name);
    H5Tclose(type);
    H5Dclose(set);
    return s->status;
}

lt_status lti_nir_read(const char *path, lti_nir *g)
{
    source s = {.path = path, .nir = g};
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (!lti_is_file(path))
        return LT_FAIL(LT_E_IO, "%s: no such file", path);
    const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    const hid_t root = file < 0 ? -1 : H5Gopen2(file, "node", H5P_DEFAULT);
    const hid_t nodes = root < 0 ? -1 : H5Gopen2(root, "nodes", H5P_DEFAULT);
    if (nodes < 0)
        s.status = LT_FAIL(LT_E_FORMAT, "%s: expected an HDF5 file with node/nodes, found another", path);
    else if (H5Literate(nodes, H5_INDEX_NAME, H5_ITER_INC, NULL, visit_node, &s) < 0 && s.status == LT_OK)
        s.status = hdf5_failed(path, "its nodes cannot be listed");
    else if (s.status == LT_OK)
        s.status = read_edges(&s, root);
    if (nodes >= 0)
        H5Gclose(nodes);
    if (root >= 0)
        H5Gclose(root);
    if (file >= 0)
        H5Fclose(file);
    return s.status;
}

#else

bool lt_nir_available(void)
{
    return false;
}

static lt_status without_hdf5(const char *path)
{
    LT_FAIL(LT_E_UNSUPPORTED, "%s: this lethe was built without HDF5, which NIR files are", path);
    return lt_error_hint("install libhdf5-dev and build again");
}

lt_status lti_nir_write(const char *path, const lti_nir *g)
{
    (void)g;
    return without_hdf5(path);
}

lt_status lti_nir_read(const char *path, lti_nir *g)
{
    (void)g;
    return without_hdf5(path);
}
#endif
