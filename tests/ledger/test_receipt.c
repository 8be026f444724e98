// test_receipt.c - a changed byte, anywhere: in the database, in an exported receipt, in a page. And canonical JSON.
#include "ledger_test.h"
#include "ledger/ledger_impl.h"

enum { TRIALS = 1000 };

static uint32_t next_random(uint32_t *state) // xorshift
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void any_byte_of_the_file(void **state)
{
    const ledger_place *p = *state;
    char copy[128], *bytes;
    size_t n;
    uint32_t seed = 2031;
    make_ledger(p);
    assert_ok(lt_read_file(p->file, 1 << 24, &bytes, &n));
    snprintf(copy, sizeof copy, "%s/copy.db", p->root);
    for (int i = 0; i < TRIALS; i++) {
        // Half of the trials in the header and the first page, where bytes mean most to SQLite.
        const size_t at = next_random(&seed) % (i % 2 ? n : i % 4 ? 4096 : 100);
        const char was = bytes[at];
        bytes[at] = (char)(was ^ (char)(1 + next_random(&seed) % 255));
        FILE *f = fopen(copy, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, n, f), n);
        fclose(f);
        const lt_status status = verify_at(copy, &(lt_ledger_verify_spec){0});
        if (status != LT_E_INTEGRITY && status != LT_E_FORMAT) {
            print_error("byte %zu: %s, %s\n", at, lt_status_text(status), lt_error_get()->message);
            fail();
        }
        assert_contains(lt_error_get()->message, "copy.db");
        bytes[at] = was;
    }
    assert_ok(lt_write_file_atomic(copy, bytes, n));
    assert_ok(verify_at(copy, &(lt_ledger_verify_spec){0}));
    lti_free(bytes);
}

static char *export_text(const ledger_place *p, const lt_receipt_spec *spec)
{
    lt_ledger *ledger;
    char *text;
    assert_ok(lt_ledger_open(p->file, LT_LEDGER_READ, &ledger));
    assert_ok(lt_ledger_export(ledger, spec, &text));
    lt_ledger_close(ledger);
    char *copy = strdup(text);
    assert_non_null(copy);
    free(text);
    return copy;
}

static void change_bytes(char *text, const char *label)
{
    const size_t n = strlen(text);
    uint32_t seed = 17;
    char *json;
    assert_ok(lt_receipt_verify(text, n, label, NULL, &json));
    free(json);
    for (int i = 0; i < TRIALS; i++) {
        const size_t at = next_random(&seed) % n;
        const char was = text[at];
        text[at] = (char)(was ^ (char)(1 + next_random(&seed) % 255));
        const lt_status status = lt_receipt_verify(text, n, label, NULL, &json);
        if (status != LT_E_INTEGRITY && status != LT_E_FORMAT) {
            print_error("byte %zu: %s, %s\n", at, lt_status_text(status), lt_error_get()->message);
            fail();
        }
        assert_contains(lt_error_get()->message, label);
        text[at] = was;
    }
    assert_fails(LT_E_INTEGRITY, label, lt_receipt_verify(text, n - 1, label, NULL, &json));
}

static void any_byte_of_a_receipt(void **state)
{
    const ledger_place *p = *state;
    make_ledger(p);
    char *text = export_text(p, &(lt_receipt_spec){.request = "2031-17"});
    change_bytes(text, "receipt.json");
    free(text);
    text = export_text(p, &(lt_receipt_spec){.id = 0});
    change_bytes(text, "ledger.json");
    free(text);
    text = export_text(p, &(lt_receipt_spec){.id = 3, .format = LT_RECEIPT_HTML});
    assert_contains(text, "Deletion receipt for request 2031-17");
    assert_contains(text, "&lt;few&gt; &amp; \xc3\xbc"
                          "bel");
    assert_null(strstr(text, "<few>"));
    change_bytes(text, "receipt.html");
    free(text);
}

static void replace_text(char *text, const char *from, const char *to)
{
    char *at = strstr(text, from);
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    for (size_t i = 0; to[i]; i++)
        at[i] = to[i];
}

static void changes_are_named(void **state)
{
    const ledger_place *p = *state;
    char public_key[128], other[128], other_public[160], fingerprint[LT_FINGERPRINT_HEX], *json;
    make_ledger(p);
    char *text = export_text(p, &(lt_receipt_spec){.id = 3});
    snprintf(public_key, sizeof public_key, "%s.pub", p->key);
    snprintf(other, sizeof other, "%s/other.key", p->root);
    snprintf(other_public, sizeof other_public, "%s.pub", other);
    assert_ok(lt_ledger_keygen(other, fingerprint));
    assert_ok(lt_receipt_verify(text, strlen(text), "r", public_key, &json));
    assert_contains(json, "\"trusted\": true");
    free(json);
    assert_fails(LT_E_INTEGRITY, "expected a signature with the key in",
                 lt_receipt_verify(text, strlen(text), "r", other_public, &json));
    replace_text(text, "\"n_forget\": 2", "\"n_forget\": 3");
    assert_fails(LT_E_INTEGRITY, "r: record 3, field result:", lt_receipt_verify(text, strlen(text), "r", NULL, &json));
    replace_text(text, "\"n_forget\": 3", "\"n_forget\": 2");
    replace_text(text, "\"about\": 3", "\"about\": 4");
    assert_fails(LT_E_INTEGRITY, "field document", lt_receipt_verify(text, strlen(text), "r", NULL, &json));
    free(text);
    assert_fails(LT_E_FORMAT, "another page", lt_receipt_verify("<p>", 3, "r", NULL, &json));
    assert_fails(LT_E_FORMAT, "other JSON", lt_receipt_verify("{}", 2, "r", NULL, &json));
    assert_fails(LT_E_FORMAT, "expected JSON", lt_receipt_verify("", 0, "r", NULL, &json));
}

// Without a signature, and for missing records.
static void unsigned_receipts(void **state)
{
    const ledger_place *p = *state;
    lt_ledger *ledger;
    char *text, *json;
    assert_ok(lt_ledger_open(p->file, LT_LEDGER_APPEND, &ledger));
    fill_ledger(p, ledger);
    assert_ok(lt_ledger_export(ledger, &(lt_receipt_spec){.request = "2031-17", .format = LT_RECEIPT_HTML}, &text));
    assert_contains(text, "it is not signed");
    assert_ok(lt_receipt_verify(text, strlen(text), "r", NULL, &json));
    assert_contains(json, "not signed");
    free(json);
    char public_key[128];
    sign_ledger(p, ledger);
    snprintf(public_key, sizeof public_key, "%s.pub", p->key);
    assert_fails(LT_E_INTEGRITY, "expected a signature, found none",
                 lt_receipt_verify(text, strlen(text), "r", public_key, &json));
    free(text);
    assert_fails(LT_E_USAGE, "no run was recorded for the request 'x'",
                 lt_ledger_export(ledger, &(lt_receipt_spec){.request = "x"}, &text));
    assert_fails(LT_E_USAGE, "from 1 to 5, found 77", lt_ledger_export(ledger, &(lt_receipt_spec){.id = 77}, &text));
    assert_fails(LT_E_USAGE, "a page is about one record",
                 lt_ledger_export(ledger, &(lt_receipt_spec){.format = LT_RECEIPT_HTML}, &text));
    lt_ledger_close(ledger);
}

static void canonical_form(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"b\": 1, \"a\": [true, false, null], \"B\": {}}", "{\"B\":{},\"a\":[true,false,null],\"b\":1}"},
        {"[1e-7, 0.0001, 1e15, 1e16, 123.456, 0.1, 2.5e-5, 100000.0, 1e300]",
         "[1e-07,0.0001,1000000000000000.0,1e+16,123.456,0.1,2.5e-05,100000.0,1e+300]"},
        {"[-0.0, 0.0, -1.5, 9007199254740993, 0.30000000000000004]",
         "[-0.0,0.0,-1.5,9007199254740993,0.30000000000000004]"},
        {"[\"\\u0001\\t\\n\\\"\\\\/\\u00fc\\u007f\"]", "[\"\\u0001\\t\\n\\\"\\\\/\xc3\xbc\x7f\"]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *value = json_loads(cases[i][0], 0, NULL);
        assert_non_null(value);
        char *text = lti_canonical(value, 0);
        assert_string_equal(text, cases[i][1]);
        lti_free(text);
        json_decref(value);
    }
    char deep[201] = "";
    json_t *value;
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    assert_fails(LT_E_FORMAT, "levels", lti_parse_json(deep, 200, "deep", &value));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(any_byte_of_the_file), TEST(any_byte_of_a_receipt), TEST(changes_are_named),
        TEST(unsigned_receipts),    TEST(canonical_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
