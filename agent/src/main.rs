//! The `vpcwatch` program: arguments to [`vpcwatch::cli`], its answer to the exit code.

fn main() -> std::process::ExitCode {
    vpcwatch::cli::main()
}
