<?php
// What PHP made of a form: fields, and of each file its name, size and sum.
$files = [];
foreach ($_FILES as $name => $file) {
    $files[$name] = [$file['name'], $file['size'], $file['error'] ?: hash_file('sha256', $file['tmp_name'])];
}
header('Content-Type: application/json');
echo json_encode(['get' => $_GET, 'post' => $_POST, 'files' => $files, 'cookies' => $_COOKIE]);
