// option_alias.h - present names of options that older runs have recorded.
#ifndef LTI_BASE_OPTION_ALIAS_H
#define LTI_BASE_OPTION_ALIAS_H

// The present name of the option that is recorded under `key`: out, or key itself.
enum { LTI_OPTION_KEY_MAX = 256 };
const char *lti_option_current_name(const char *key, char out[LTI_OPTION_KEY_MAX]);
#endif
