// fuzz_event_split.c - arbitrary bytes as a split file over three recordings.
#include "data/event_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    lti_event_item item[3] = {{.name = "a/1"}, {.name = "a/2"}, {.name = "b/1", .y = 1}};
    lti_event_list list = {.n = 3, .item = item};
    (void)lti_event_split_parse((const char *)bytes, n, "fuzz", &list);
    return 0;
}
