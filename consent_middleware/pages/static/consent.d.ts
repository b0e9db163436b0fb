/** What `banner.js` offers to the site's own scripts as `window.consent`. */
export interface ConsentState {
  /** Whether a choice was made. Without one, only what the site needs is allowed. */
  readonly decided: boolean;
  /** Purpose id to whether it is allowed. */
  readonly purposes: Readonly<Record<string, boolean>>;
}

export interface ConsentChange extends ConsentState {
  /** Ids of the purposes that were allowed before and are not any more. */
  readonly withdrawn: readonly string[];
}

export interface Consent {
  /** Whether a purpose is allowed now. Never rejects: what can't be found out is not allowed. */
  allows(purpose: string): Promise<boolean>;
  state(): Promise<ConsentState>;
  /** Calls `listener` after every choice; returns the function that stops it. */
  onchange(listener: (change: ConsentChange) => void): () => void;
  /** Opens the preferences. */
  open(): Promise<void>;
  /** Withdraws everything that is optional. There is no way to grant by script: only the visitor can. */
  withdraw(): Promise<void>;
}

declare global {
  interface Window {
    readonly consent: Consent;
  }
  interface DocumentEventMap {
    consent: CustomEvent<ConsentChange>;
  }
}
