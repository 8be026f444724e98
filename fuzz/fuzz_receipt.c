// fuzz_receipt.c - an exported receipt, JSON or page, is accepted or refused, never more.
#include "lethe/ledger.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *json = NULL;
    if (lt_receipt_verify((const char *)data, size, "input", NULL, &json) != LT_OK)
        lt_error_clear();
    free(json);
    return 0;
}
