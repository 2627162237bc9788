/** The network between the browser and the service, which a story can break. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

type Condition = 'up' | 'down' | 'silent';

export class Link {
  private condition: Condition = 'up';
  private readonly sockets = new Set<Socket>();
  /** What was open while nothing was carried, and is not carried any more. */
  private forgotten = new Set<Socket>();
  /** Where the service is; null while it does not run. */
  target: number | null = null;

  private constructor(private readonly server: Server) {
    server.on('connection', (socket) => this.join(socket));
  }

  static open(port = 0): Promise<Link> {
    const link = new Link(createServer({ allowHalfOpen: true, pauseOnConnect: true }));
    return new Promise((resolve, reject) => {
      link.server.once('error', reject);
      link.server.listen(port, '127.0.0.1', () => resolve(link));
    });
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Breaks all connections, once. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Breaks all connections, and every new one. */
  goDown(): void {
    this.condition = 'down';
    this.cut();
  }

  /** Carries nothing any more, and tells neither side: as when a cable is pulled. */
  goSilent(): void {
    this.condition = 'silent';
    for (const socket of this.sockets) socket.pause();
  }

  /** Carries again. What was open in the meantime is lost. */
  comeBack(): void {
    if (this.condition === 'silent') this.cut();
    this.condition = 'up';
  }

  /** Carries again what is new. What was open stays as dead as it was, and nobody is told: as behind a router that was restarted. */
  comeBackForNew(): void {
    this.forgotten = new Set(this.sockets);
    this.condition = 'up';
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(near: Socket): void {
    this.keep(near);
    if (this.condition === 'silent') return;
    if (this.condition === 'down' || this.target === null) {
      near.resetAndDestroy();
      return;
    }
    const far = connect({ port: this.target, host: '127.0.0.1', allowHalfOpen: true });
    this.keep(far);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.setNoDelay(true);
      from.on('data', (bytes) => {
        if (!to.write(bytes)) from.pause();
      });
      to.on('drain', () => this.carries(from) && from.resume());
      from.on('end', () => to.end());
      from.on('close', () => to.destroy());
    }
    near.resume();
  }

  private carries(socket: Socket): boolean {
    return this.condition !== 'silent' && !this.forgotten.has(socket);
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket);
    // How it broke is no matter; that it did is told by `close`.
    socket.on('error', () => undefined);
    socket.on('close', () => this.sockets.delete(socket));
  }
}
