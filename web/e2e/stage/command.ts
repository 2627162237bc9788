/** Other programs. They run beside the story, whose own servers go on answering. */
import { spawn } from 'node:child_process';

export interface Options {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** What it reads. */
  input?: string;
}

/** Runs a program, which has to succeed, and returns what it prints. */
export function run(program: string, args: string[], options: Options = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: options.cwd, env: options.env ?? process.env });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => output.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => errors.push(bytes));
    child.once('error', (error) => reject(new Error(`${program} cannot be run: ${error.message}`)));
    child.once('close', (code) => {
      const said = Buffer.concat(output).toString().trim();
      if (code === 0) resolve(said);
      else
        reject(
          new Error(`${program} ${args.join(' ')} ended with ${code}:\n${Buffer.concat(errors)}${said}`),
        );
    });
    // A program that ends without reading has said all there is to say by its exit code.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}
