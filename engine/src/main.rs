//! The binary: see [`riverhook::cli`].

fn main() -> std::process::ExitCode {
    riverhook::cli::main()
}
