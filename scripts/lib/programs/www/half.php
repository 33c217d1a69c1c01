<?php
// Dies in the middle of its answer; with `length` the length was said before.
if (isset($_GET['length'])) {
    header('Content-Length: 200000');
}
echo str_repeat('x', 100000);
while (ob_get_level()) {
    ob_end_flush();
}
flush();
usleep(100000);
posix_kill(posix_getpid(), 9);
