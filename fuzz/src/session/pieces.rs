//! What a client may write: whole requests, beginnings and ends of others, and what is no request.

/// What byte `operation`, below 0xC0, stands for. Half of the bytes are whole requests.
pub fn pick(operation: u8) -> &'static [u8] {
    let at = usize::from(operation);
    match at {
        0x00..=0x2F => WHOLE[at % WHOLE.len()],
        0x30..=0x5F => WHOLE[WITH_BODY + at % (WHOLE.len() - WITH_BODY)],
        0x60..=0x7F => BODIES[at % BODIES.len()],
        0x80..=0xAF => PARTS[at % PARTS.len()],
        _ => BAD[at % BAD.len()],
    }
    .as_bytes()
}

/// Where in [`WHOLE`] those with a body begin.
const WITH_BODY: usize = 30;

/// Whole requests without a body, then whole ones with one.
const WHOLE: [&str; 48] = [
    "GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET /b.html HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET /small.bin HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET /middle.bin HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET /large.bin HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET /empty.txt HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET /dir HTTP/1.1\r\nHost: test\r\n\r\n",
    "HEAD /small.bin HTTP/1.1\r\nHost: test\r\n\r\n",
    "HEAD /large.bin HTTP/1.1\r\nHost: test\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n",
    "DELETE /a.txt HTTP/1.1\r\nHost: test\r\n\r\n",
    "TRACE /a.txt HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET /%zz HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET http://other/a.txt?x HTTP/1.1\r\nHost: test\r\n\r\n",
    "\r\n\r\nGET /%62.html HTTP/1.1\r\nHost: test:80\r\nAccept-Encoding: gzip\r\n\r\n",
    "GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /a.txt HTTP/1.0\r\n\r\n",
    "GET /middle.bin HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    "GET /a.txt HTTP/1.1\r\nHost: test\r\nRange: bytes=1-3\r\n\r\n",
    "GET /middle.bin HTTP/1.1\r\nHost: test\r\nRange: bytes=0-99,5000-9999,-1\r\n\r\n",
    "GET /large.bin HTTP/1.1\r\nHost: test\r\nRange: bytes=-30000\r\n\r\n",
    "GET /large.bin HTTP/1.1\r\nHost: test\r\nRange: bytes=30000-,0-0,200-300\r\n\r\n",
    "GET /small.bin HTTP/1.1\r\nHost: test\r\nRange: bytes=5000-\r\n\r\n",
    "GET /b.html HTTP/1.1\r\nHost: test\r\nIf-None-Match: *\r\n\r\n",
    "GET /b.html HTTP/1.1\r\nHost: test\r\nIf-Match: \"x\"\r\n\r\n",
    "GET /b.html HTTP/1.1\r\nHost: test\r\nIf-Modified-Since: Sun, 13 Sep 2020 12:26:40 GMT\r\n\r\n",
    "GET /large.bin HTTP/1.1\r\nHost: test\r\nIf-Range: \"x\"\r\nRange: bytes=0-1\r\n\r\n",
    "GET /a.txt HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n\r\n",
    "GET /a.txt HTTP/1.1\r\nHost: test\r\nExpect: wonders\r\n\r\n",
    "POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    "POST /middle.bin HTTP/1.1\r\nHost: test\r\nContent-Length: 37\r\n\r\nGET /hidden HTTP/1.1\r\nHost: hidden\r\n\r\n",
    "POST /.probe/count HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    "POST /.probe/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    "POST /.probe/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n",
    "POST /.probe/slow HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    "POST /.probe/count HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    "PUT /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    "FROB /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    "HEAD /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    "POST /a.txt HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "GET /b.html HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
    "POST /.probe/count HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=\"b\"\r\n!\r\n0\r\n\r\n",
    "POST /.probe/echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n",
    "POST /.probe/slow HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
    "POST /.probe/refuse HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /.probe/refuse HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    "PUT /.probe/echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
];

/// Heads whose body comes in other pieces.
const BODIES: [&str; 16] = [
    "POST /a.txt HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /.probe/count HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /.probe/echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /.probe/slow HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /.probe/refuse HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /.probe/count HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    "POST /a.txt HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    "POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 38\r\n\r\n",
    "POST /.probe/count HTTP/1.1\r\nHost: test\r\nContent-Length: 38\r\n\r\n",
    "POST /.probe/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 64\r\n\r\n",
    "POST /.probe/slow HTTP/1.1\r\nHost: test\r\nContent-Length: 4096\r\n\r\n",
    "POST /.probe/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 8192\r\n\r\n",
    "POST /.probe/count HTTP/1.1\r\nHost: test\r\nContent-Length: 8193\r\n\r\n",
    "POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 8193\r\n\r\n",
    "PATCH /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n",
    "POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 9223372036854775807\r\n\r\n",
];

/// Pieces of heads, of chunked bodies, and data.
const PARTS: [&str; 24] = [
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "1\r\nx\r\n0\r\n\r\n",
    "00000a;n=v;q=\"\\\"\"\r\n0123456789\r\n",
    "0\r\nTrailer: value\r\n\r\n",
    "3\r\nab",
    "c\r\n",
    "hello",
    "\r\n",
    "\n",
    "\r",
    "0",
    "GET /a.txt HTTP/1.1\r\nHost: test\r\n",
    "GET /a.txt ",
    "POST /.probe/count HTTP/1.1\r\nHost: test\r\n",
    "POST /a.txt HTTP/1.1\r\n",
    "Host: test\r\n",
    "Connection: close\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Range: bytes=1-2\r\n",
    "X: y\r\n\r\n",
    "X-Long: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
    "0123456789012345678901234567890123456789012345678901234567890123",
];

/// What is no request, or none that can be understood.
const BAD: [&str; 16] = [
    "POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "POST /a.txt HTTP/1.1\r\nHost: test\r\n\r\n",
    "POST /a.txt HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "GET /a.txt HTTP/1.1\r\n\r\n",
    "GET /a.txt HTTP/2.0\r\nHost: test\r\n\r\n",
    "GET /a.txt HTTP/1.1\nHost: test\n\n",
    "GET /a.txt HTTP/1.1\r\nHost: test\r\n folded\r\n\r\n",
    "HEAD /a.txt HTTP/1.1\r\nHost: test\r\nHost: test\r\n\r\n",
    "POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "x\r\n",
    "5;\r\n",
    "fffffffffffffffff\r\n",
    "5\r\nhello!",
    "0\r\n X: folded\r\n\r\n",
    "\0",
];
