<?php
// Sleeps before its first byte, or behind it.
if (isset($_GET['behind'])) {
    echo str_repeat('x', 100000);
    flush();
}
sleep((int) $_GET['seconds']);
echo "late\n";
