<?php
// `blocks` pieces of 64 KB, each another one; with `length` the length is said before.
$blocks = (int) $_GET['blocks'];
header('Content-Type: application/octet-stream');
if (isset($_GET['length'])) {
    header('Content-Length: ' . $blocks * 65536);
}
for ($number = 0; $number < $blocks; $number++) {
    echo str_repeat(hash('sha256', (string) $number, true), 2048);
}
