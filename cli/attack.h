// attack.h - what the files of `lethe attack` share.
#ifndef LETHE_CLI_ATTACK_H
#define LETHE_CLI_ATTACK_H
#include "cli.h"

bool cli_attack_has_flag(const json_t *result, int bit); // is lt_robust_flag_name(bit) among its flags?
void cli_attack_print(const cli_call *call, FILE *out);
#endif
