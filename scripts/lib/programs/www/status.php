<?php
// A status, a redirect or fields as they are asked for.
if (isset($_GET['location'])) {
    header('Location: ' . $_GET['location']);
} elseif (isset($_GET['code'])) {
    http_response_code((int) $_GET['code']);
}
header('X-Several: one');
header('X-Several: two', false);
if (($_GET['code'] ?? '') != 304) {
    echo "a body\n";
}
