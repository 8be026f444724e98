// http_absent.c - a build without libmicrohttpd says so.
#include "lethe/serve.h"
#ifndef LETHE_HAVE_MICROHTTPD

bool lt_server_is_available(void)
{
    return false;
}

const char *lt_server_library(void)
{
    return "not built in: no dashboard; install libmicrohttpd-dev and build again";
}

lt_status lt_server_open(const lt_serve_spec *spec, lt_server **server)
{
    (void)spec;
    *server = NULL;
    (void)LT_FAIL(LT_E_UNSUPPORTED, "serve: this build has no web server");
    return lt_error_hint("install libmicrohttpd-dev and build again");
}

const char *lt_server_url(const lt_server *server)
{
    (void)server;
    return "";
}

const char *lt_server_token_file(const lt_server *server)
{
    (void)server;
    return "";
}

int lt_server_port(const lt_server *server)
{
    (void)server;
    return 0;
}

void lt_server_wait(const lt_server *server, const lt_interrupt_flag *stop)
{
    (void)server;
    (void)stop;
}

void lt_server_close(lt_server *server)
{
    (void)server;
}
#endif
