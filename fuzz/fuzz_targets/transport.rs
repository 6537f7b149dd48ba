#![no_main]

use libfuzzer_sys::fuzz_target;
use millrun_fuzz_drivers::transport::{Case, run};

fuzz_target!(|case: Case| run(case));
