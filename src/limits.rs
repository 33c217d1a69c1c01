//! Every compile-time capacity of the server, each with what happens when it is full.

/// Longest request line accepted, bytes. A longer one is answered 414 and closed.
pub const REQUEST_LINE_MAX: usize = 8 * 1024;

/// Longest request head accepted, bytes. A longer one is answered 431 and closed.
pub const HEAD_MAX: usize = 16 * 1024;

/// Most header fields in one request. More are answered 431 and closed.
pub const FIELDS_MAX: usize = 64;

/// Longest head of an answer from a program or a server behind this one, bytes. A longer one is answered 502.
pub const BACKEND_HEAD_MAX: usize = 16 * 1024;

/// Most fields of such a head. More are answered 502.
pub const BACKEND_FIELDS_MAX: usize = 128;

/// Longest head of a request to the Palm server, bytes: path and variables. A longer one is refused. All of it is named by 16 bits.
pub const PALM_HEAD_MAX: usize = u16::MAX as usize;

/// Longest answer of a FastCGI backend that is asked for its limits, bytes. Behind a longer one it is taken for broken.
pub const FASTCGI_VALUES_MAX: usize = 512;

/// Longest chunk-size line of a chunked body, bytes, extensions and line end included. A longer one is answered 400 and
/// closed.
pub const CHUNK_LINE_MAX: u16 = 256;

/// Most trailers of a chunked body, bytes, line ends and the empty line included. More are answered 431 and closed.
pub const TRAILERS_MAX: u16 = 8 * 1024;

/// Most ranges honoured in one `Range` field. A field with more is ignored: the whole file is sent (RFC 9110 section 14.2).
pub const RANGES_MAX: usize = 16;

/// Room for a path beneath a document root with an index file's name, bytes. What does not fit is answered 404.
pub const PATH_ROOM: usize = 4096;

/// How much of /etc/passwd is searched for the home of `/~user/`, bytes. Users further down are not found.
pub const PASSWD_MAX: usize = 8 * 1024;

/// Largest file kept in memory behind its answer, bytes. Larger ones are sent from the file.
pub const SMALL_FILE_MAX: usize = 16 * 1024;

/// Longest decoded path under which an answer is remembered, bytes. Longer ones are looked up each time.
pub const KEY_MAX: usize = 512;

/// Room for one answer's head, with the site's own fields, bytes. A longer one is answered 500; the configuration refuses
/// fields that could come to that.
pub const ANSWER_HEAD_MAX: usize = 4096;

/// What a site's own response fields and its longest cache rule may come to together, bytes, line ends included. The
/// configuration refuses more.
pub const SITE_FIELDS_MAX: usize = 3072;

/// Room for the answers a worker gathers before it sends, bytes. It sends earlier when the next one might not fit.
pub const OUTPUT_ROOM: usize = 32 * 1024;

/// Room for what a worker reads at once, bytes: a whole head, and a little more so that a longer one is seen to be so.
pub const INPUT_ROOM: usize = HEAD_MAX + 1024;
/// Longest message to stderr or to the system log, bytes, line end and prefix included. A longer one is cut and ends in
/// `...`. Well under PIPE_BUF, so that lines of several threads never mix on a pipe.
pub const LOG_LINE_MAX: usize = 1024;

/// Most workers. The configuration refuses more; `Workers 0` takes no more.
pub const WORKERS_MAX: usize = 128;

/// Bytes of a worker's stack. Touched pages count as used; unoptimised builds need more.
pub const STACK_SIZE: usize = if cfg!(debug_assertions) { 512 * 1024 } else { 64 * 1024 };

/// Connections the default ceiling pays for.
pub const CONNECTIONS_MAX: usize = 10_100;

/// Connections below which a ceiling is called too low.
pub const CONNECTIONS_MIN: usize = 64;

/// Slots beyond the connection limit, for clients that come while an idle one is asked to leave.
pub const HEADROOM: usize = 64;

/// Document roots and alias directories a worker keeps open at once. When there are more, the one opened first is closed.
pub const ROOTS_MAX: usize = 16;

/// Descriptors of a worker besides its open files and roots: event queue, wake-up, reserve, what a look-up opens in passing.
pub const WORKER_FILES: usize = 8;

/// Descriptors of the process besides connections, listeners and those of workers: event queue, signals, logs, a reload.
pub const OTHER_FILES: usize = 64;

/// Files a worker keeps open at once. When all are in use by answers under way, a request for another file is answered 503.
pub const OPEN_FILES_MAX: u16 = 128;

/// Paths that lead to nothing which a worker remembers, for a second each.
pub const MISSES_MAX: u16 = 16;

/// Bytes a worker remembers their answers in.
pub const MISS_BYTES: usize = 8 * 1024;

/// Smallest cache of answers a worker is given, bytes.
pub const ARENA_MIN: usize = 20 * 1024;

/// The smallest buffers, bytes: most heads of requests fit into one.
pub const HEAD_BUFFER: usize = 1024;

/// Smallest pool of buffers a worker is given, bytes: one of each size.
pub const POOL_MIN: usize = 56 * 1024;

/// What the program's own pages may take, KB, while it serves: when more are resident, the server lets go of all of them, and what is used
/// comes back from the file. A program that was not optimised is larger than any ceiling in any case, and its stacks need the room.
pub const EXECUTABLE_KB: usize = if cfg!(debug_assertions) { 256 } else { 384 };

/// What the heap holds after start, KB: the configuration, tables of names, thread bookkeeping.
pub const HEAP_KB: usize = 128;

/// How much of a body that nobody reads is passed over for the sake of the connection, bytes. When there is more the answer is
/// given at once and the connection ends after it.
pub const DISCARD_MAX: u64 = 1024 * 1024;

/// Longest time for which a client is heard out after our last word, milliseconds: what it still sends is read, so that it sees
/// the answer. Then the connection is closed.
pub const LINGER_MAX_MS: u32 = 30_000;

/// Field lines that a plugin adds to a refusal, bytes. What does not fit is left out.
pub const REFUSAL_FIELDS_MAX: usize = 320;

/// Clients whose requests are counted for a rate limit, unless the configuration names another number: 32 KB. The requests of one more
/// are not counted.
pub const RATE_PLACES: usize = 4096;

/// How long a refusal is held back for whom it is to slow down (a wrong password), milliseconds.
pub const LATE_MS: u32 = 1000;

/// How long a request waits for a plugin to come to a verdict, milliseconds. Then it is answered 503.
pub const VERDICT_MS: u32 = 30_000;

/// Listings of directories that a worker has under way at once, each with a descriptor. One more is answered 503.
pub const LISTINGS_MAX: usize = 32;

/// Entries of a directory that a worker sorts at once, 266 bytes each. When there are more the directory is read again for those
/// that follow.
pub const LISTING_RECORDS: usize = 96;

/// The three files of a theme together, bytes. The configuration refuses more.
pub const THEME_MAX: usize = 32 * 1024;

/// What each of them may come to, with the longest names there can be, bytes: it is written at once. The configuration refuses more.
/// The longest path in JSON takes 24 KB of it.
pub const THEME_PART_MAX: usize = 26 * 1024;

/// Bytes of a path that the title of a listing shows; the rest is left out.
pub const LISTING_TITLE_MAX: usize = 512;
/// Room that each worker has at least for the text of a users file of the plugin auth, bytes; and twice what the file had when the
/// configuration was read. A file that has outgrown it is told of, and what was read before stays in force.
pub const USERS_ROOM_MIN: usize = 16 * 1024;

/// Largest users file, bytes. The configuration refuses a larger one.
pub const USERS_MAX: usize = 256 * 1024;

/// Longest credentials of a request in base64, bytes. Who sends more is answered 401.
pub const CREDENTIALS_MAX: usize = 1024;

/// Passwords that wait for bcrypt at once, over all workers. Another one is answered 503.
pub const BCRYPT_QUEUE: usize = 16;

/// Passwords that are remembered to be right or wrong. The oldest that was wrong gives way, then the oldest.
pub const VERIFIED_MAX: usize = 64;

/// Descriptors that the plugins of a worker watch at once. One more is refused to the plugin.
pub const WATCHES_MAX: usize = 64;

/// Descriptors that the plugins watch in the main thread. One more is refused to the plugin.
pub const MAIN_WATCHES_MAX: usize = 32;

/// What a worker gathers of one log before it writes it to the log's pipe, bytes: as much as a pipe takes as a whole or not at all.
pub const LOG_BUFFER: usize = 4096;

/// How long a line stays with its worker at most, milliseconds.
pub const LOG_BATCH_MS: u32 = 250;

/// Longest name of a user in a line of an access log, bytes. A longer one is left out.
pub const LOG_USER_MAX: usize = 64;

/// Bytes of the stack of the thread that writes log files.
pub const LOGGER_STACK: usize = if cfg!(debug_assertions) { 64 * 1024 } else { 32 * 1024 };

/// How long a connection of another protocol (WebSocket) goes on through this server while nothing moves, milliseconds. Then it is closed.
pub const TUNNEL_MS: u32 = 3_600_000;
/// Lines about backends, and of what they complain of, that a worker writes to the log at once. More are counted, and left out.
pub const COMPLAINTS_MAX: u32 = 50;

/// And then so many a second.
pub const COMPLAINTS_A_SECOND: u32 = 10;

/// Longest of these lines, bytes of what a backend has said. The rest is left out.
pub const COMPLAINT_MAX: usize = 512;

/// Connections to backends that a worker keeps at once while they carry no request. One more is closed.
pub const KEPT_MAX: u16 = 64;

/// Most servers of a line. Which of them were tried is kept in as many bits.
pub const LINE_SERVERS_MAX: usize = 64;

/// How long a connection to a backend is kept that carries no request, milliseconds.
pub const KEPT_MS: u32 = 60_000;

/// Longest request as it goes to a backend, bytes, without its body. A longer one is answered 431.
pub const GATEWAY_REQUEST_MAX: usize = 64 * 1024;

/// Paths of this server that a request may be led to by programs, one after the other. One more is answered 500.
pub const LOCAL_MAX: u8 = 10;

/// Longest order to start a program, bytes, its arguments and environment included. A longer one is refused to the plugin.
pub const ORDER_MAX: usize = 64 * 1024;

/// Most bytes of the variables that a site adds to the environment of programs. More are an error in the configuration.
pub const CGI_VARIABLES_MAX: usize = 16 * 1024;

/// Most arguments and environment variables of a program together. More are refused to the plugin.
pub const ORDER_STRINGS_MAX: usize = 512;

/// Most programs that are started and have not ended, over all workers, whatever the plugins ask for. One more is refused (EAGAIN).
pub const CHILDREN_MAX: usize = 1024;

/// Most pins and LEDs that show something. A configuration with more is refused.
pub const GPIO_OUTPUTS_MAX: usize = 32;

/// Sockets between the spawner and those who order, over all workers. One more is closed at once.
pub const SPAWNER_PEERS_MAX: usize = 512;

/// Variables of a Palm request. More are answered 431.
pub const PALM_VARIABLES_MAX: usize = 512;

/// Longest name of a variable of a Palm request, bytes. One with a longer name is not passed on.
pub const PALM_NAME_MAX: usize = 256;

/// Processes of one handler of the application server that wait for requests. The configuration refuses more.
pub const PALM_CHILDS_MAX: u32 = 256;

/// Requests that one handler of the application server has under way. The configuration refuses more; connections beyond wait.
pub const PALM_RUNNING_MAX: u32 = 4096;

/// Bytes of a program's name that are told with it: of a longer one the end.
pub const CGI_NAME_MAX: usize = 128;
