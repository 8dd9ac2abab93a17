#![cfg_attr(fuzzing, no_main)]

wattle_fuzz::target!(json);
