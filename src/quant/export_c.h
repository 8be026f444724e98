// export_c.h - what the files of the export as C share.
#ifndef LT_EXPORT_C_H
#define LT_EXPORT_C_H
#include "quant/intnet_impl.h"

extern const char lti_export_c_fields[];                   // further fields of a layer of a spiking network
void lti_export_c_time(lti_buf *b, const lt_int_net *net); // its functions, up to lethe_logits
#endif
