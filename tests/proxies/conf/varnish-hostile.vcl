# What weft should survive: cookies do not keep responses out of the cache, all that may be kept is
# kept, responses are withheld until they are whole, no upgrades, and 503 after 10 seconds.
vcl 4.1;

backend weft {
    .host = "127.0.0.1";
    .port = "8080";
    .first_byte_timeout = 10s;
    .between_bytes_timeout = 10s;
}

sub vcl_recv {
    if (req.method == "GET") {
        return (hash);
    }
}

sub vcl_backend_response {
    set beresp.do_stream = false;
    set beresp.do_gzip = true;
    set beresp.grace = 10m;
    unset beresp.http.Set-Cookie;
}

sub vcl_deliver {
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    }
}
