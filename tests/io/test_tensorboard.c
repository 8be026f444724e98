// test_tensorboard.c - event files byte by byte: framing, checksums, the fields of the messages.
#include "lt_test.h"
#include "io/tensorboard.h"
#include <dirent.h>
#include <math.h>
#include <stdlib.h>

// The bytes of a record that TensorFlow's own writer makes of the version (wall_time 1.0) have this framing.
static const unsigned char version_frame[] = {24, 0, 0, 0, 0, 0, 0, 0};

static char *only_file(const char *dir, size_t *n)
{
    DIR *d = opendir(dir);
    char path[400] = "", *bytes;
    for (struct dirent *e; (e = readdir(d));)
        if (lti_is_tensorboard_name(e->d_name)) {
            assert_string_equal(path, "");
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        }
    closedir(d);
    assert_ok(lt_read_file(path, 1 << 20, &bytes, n));
    return bytes;
}

static void records(void **state)
{
    (void)state;
    char dir[64];
    lti_tensorboard *t;
    lt_events *events;
    size_t n;
    snprintf(dir, sizeof dir, "%s/lethe-tb.XXXXXX", lt_test_root());
    assert_non_null(mkdtemp(dir));
    assert_ok(lt_events_create(&events));
    assert_ok(lti_tensorboard_open(dir, true, &t));
    assert_ok(lt_events_add(events, lti_tensorboard_sink(t)));
    const lt_field fields[] = {{"loss", 0.5}, {"gap", NAN}};
    lt_emit(events,
            &(lt_event){.kind = LT_EV_METRIC, .name = "e", .epoch = 1, .step = 300, .fields = fields, .n_fields = 2});
    lt_emit(events, &(lt_event){.kind = LT_EV_INFO, .name = "e", .text = "nothing"});
    lt_events_destroy(events);
    assert_ok(lti_tensorboard_close(t));
    assert_ok(lti_tensorboard_close(NULL));
    unsigned char *bytes = (unsigned char *)only_file(dir, &n);
    assert_memory_equal(bytes, version_frame, sizeof version_frame);
    // CRC-32C of the 8 bytes of the length 24, masked, computed with TensorFlow's masked_crc32c.
    const unsigned char crc[] = {0xa3, 0x7f, 0x4b, 0x22};
    assert_memory_equal(bytes + 8, crc, sizeof crc);
    assert_int_equal(bytes[12], 0x09); // wall_time
    assert_int_equal(bytes[21], 0x1a); // file_version
    assert_memory_equal(bytes + 23, "brain.Event:2", 13);
    const unsigned char *second = bytes + 12 + 24 + 4;
    // wall_time 9 bytes, step 3, summary 2 + value 2 + tag 2 + 6 + simple_value 5
    assert_int_equal(second[0], 9 + 3 + 2 + 2 + 2 + 6 + 5);
    const unsigned char message[] = {0x10, 0xac, 0x02, 0x2a, 15,  0x0a, 13, 0x0a, 6, 'e',
                                     '/',  'l',  'o',  's',  's', 0x15, 0,  0,    0, 0x3f};
    assert_memory_equal(second + 12 + 9, message, sizeof message);
    assert_int_equal(n, 12 + 24 + 4 + 12 + second[0] + 4);
    lti_free(bytes);
    assert_ok(lti_tensorboard_open(dir, true, &t)); // the earlier one goes
    assert_ok(lti_tensorboard_close(t));
    lti_free(only_file(dir, &n));
    assert_fails(LT_E_IO, "nowhere", lti_tensorboard_open("/nowhere", false, &t));
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(records)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
