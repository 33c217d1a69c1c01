<?php
// Length and sum of the body as it came.
$sum = hash_init('sha256');
$body = fopen('php://input', 'rb');
$length = hash_update_stream($sum, $body);
header('Content-Type: text/plain');
echo $length, ' ', hash_final($sum), "\n";
