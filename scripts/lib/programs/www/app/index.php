<?php echo "index of app\n";
